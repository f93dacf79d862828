"""Draw docs/how.svg, the data's way through the node: `python -m tools.how_drawing`.

Boxes stand on a grid of columns and rows; arrows lead from side to side of two boxes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from html import escape
from pathlib import Path

OUT = Path(__file__).resolve().parents[1] / 'docs' / 'how.svg'
SIZE = (900, 330)
LINE = 16  # pixels from one line of text to the next
HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" font-family="sans-serif" \
font-size="13" role="img" aria-label="The data's way through paif_ros">
  <style>
    .work {{ fill: #eef3fa; stroke: #4a6fa5; stroke-width: 1.5 }}
    .out {{ fill: #f3f7ee; stroke: #6b8e4e; stroke-width: 1.5 }}
    .camera {{ fill: #fdf3e7; stroke: #c07d2b; stroke-width: 1.5 }}
    .way {{ stroke: #444; stroke-width: 1.6; fill: none; marker-end: url(#tip) }}
    .told {{ stroke: #999; stroke-width: 1.2; fill: none; stroke-dasharray: 4 3; \
marker-end: url(#tip) }}
    text {{ text-anchor: middle; fill: #222 }} .small {{ font-size: 11px; fill: #555 }}
  </style>
  <defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" \
markerHeight="7" orient="auto"><path d="M0 0 10 5 0 10z" fill="#444"/></marker></defs>
  <rect fill="#fff" width="{0}" height="{1}"/>
"""


@dataclass(frozen=True)
class Box:
    """A box of the drawing.

    Attributes:
        kind: its class: 'camera', 'work' or 'out'.
        x: left edge in pixels.
        y: upper edge.
        width: in pixels.
        height: in pixels.
        lines: its text; those that begin with a space are small.
    """

    kind: str
    x: int
    y: int
    width: int
    height: int
    lines: tuple[str, ...]

    def svg(self) -> str:
        """Return it as SVG."""
        middle = self.x + self.width // 2
        first = self.y + self.height // 2 - LINE * (len(self.lines) - 1) // 2 + 5
        parts = [
            f'<rect class="{self.kind}" x="{self.x}" y="{self.y}" width="{self.width}" '
            f'height="{self.height}" rx="6"/>'
        ]
        for number, line in enumerate(self.lines):
            small = ' class="small"' if line.startswith(' ') else ''
            place = f'x="{middle}" y="{first + number * LINE}"'
            parts.append(f'<text {place}{small}>{escape(line.strip())}</text>')
        return ''.join(parts)


BOXES = {
    'rgb': Box('camera', 15, 40, 120, 50, ('RGB camera', ' color/image_raw')),
    'thermal': Box('camera', 15, 150, 120, 50, ('thermal camera', ' thermal/image_raw')),
    'intake': Box('work', 175, 40, 105, 160, ('intake', ' check, count,', ' watch')),
    'pairing': Box('work', 320, 85, 95, 70, ('pairing', ' by stamp')),
    'mailbox': Box('work', 455, 85, 95, 70, ('mailbox', ' newest pair only')),
    'decode': Box('work', 590, 40, 125, 50, ('decode', ' to RGB, 8 bit')),
    'range': Box('work', 590, 150, 125, 50, ('thermal range,', 'registration')),
    'network': Box(
        'work', 755, 80, 130, 80, ('network', ' ONNX Runtime,', ' OpenVINO,', ' TensorRT')
    ),
    'pictures': Box('out', 755, 240, 130, 60, ('pictures', ' only if subscribed')),
    'topics': Box(
        'out', 455, 236, 260, 68,
        ('fused/image, segmentation/mask,', 'overlay, confidence, validity',
         " with the RGB frame's header"),
    ),
    'diagnostics': Box(
        'out', 175, 240, 240, 60, ('/diagnostics', ' counts, drops by reason, latency')
    ),
}  # fmt: skip
ACROSS = (
    ('rgb', 'intake'), ('thermal', 'intake'), ('intake', 'pairing'), ('pairing', 'mailbox'),
    ('mailbox', 'decode'), ('mailbox', 'range'), ('decode', 'network'), ('range', 'network'),
)  # fmt: skip
DOWN = (('network', 'pictures', 'way'), ('intake', 'diagnostics', 'told'),
        ('pairing', 'diagnostics', 'told'))  # fmt: skip


def across(start: Box, end: Box) -> str:
    """Return an arrow from the right of a box to the left of one beside it."""
    out, into = start.y + start.height // 2, end.y + end.height // 2
    if start.height >= end.height * 2:  # a tall box: straight over
        out = into
    elif end.height >= start.height * 2:
        into = out
    elif out != into:  # apart from the other one that leaves or comes
        step = 10 if into > out else -10
        out, into = (out + step, into) if start.y == 85 else (out, into - step)
    left, right = start.x + start.width, end.x - 2
    half = (left + right) // 2
    return f'<path class="way" d="M{left} {out}C{half} {out} {half} {into} {right} {into}"/>'


def down(start: Box, end: Box, kind: str) -> str:
    """Return an arrow from the bottom of a box straight to one below it."""
    middle = start.x + start.width // 2
    return f'<path class="{kind}" d="M{middle} {start.y + start.height}V{end.y - 2}"/>'


def drawing() -> str:
    """Return the whole drawing as SVG."""
    pictures, topics = BOXES['pictures'], BOXES['topics']
    lines = [box.svg() for box in BOXES.values()]
    lines += [across(BOXES[one], BOXES[other]) for one, other in ACROSS]
    lines += [down(BOXES[one], BOXES[other], kind) for one, other, kind in DOWN]
    back = f'M{pictures.x} {pictures.y + pictures.height // 2}H{topics.x + topics.width + 2}'
    lines.append(f'<path class="way" d="{back}"/>')
    return HEAD.format(*SIZE) + ''.join(f'  {line}\n' for line in lines) + '</svg>\n'


def main(argv: list[str] | None = None) -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(prog='python -m tools.how_drawing', description=__doc__)
    parser.parse_args(argv)
    OUT.write_text(drawing(), 'utf-8')
    print(f'wrote {OUT}')


if __name__ == '__main__':
    main()
