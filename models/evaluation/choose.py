"""`python -m models.evaluation.choose`: the table of docs/choose.md, from docs/evaluation.

Each file there is what `python -m models.evaluate --json` wrote. The table stands between two
comments of the page; with `--check` nothing is written, and the exit code says whether it
is current.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.evaluation.pages import main_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs' / 'choose.md'
SCORES = ROOT / 'docs' / 'evaluation'
MARK = 'networks'
FUSION = ('VIF', 'Qabf')  # metrics of the fused picture that are shown
FIRST = ('none', 'pgd5', 'pgd20')  # attacks in the order of the columns; others follow by name
EXAMPLES = """
examples:
  score a network, and put it into the table:
    python -m models.evaluate --weights FILE.safetensors --data DIR --attacks none,pgd5,pgd20 \\
        --json docs/evaluation/NAME.json
    python -m models.evaluation.choose
  is the table current?
    python -m models.evaluation.choose --check
exit codes: 0 written or current, 1 not current or a file that can't be read, 2 wrong arguments
"""


class ScoresError(ValueError):
    """A file of scores that can't be read.

    Attributes:
        path: the file.
        reason: what is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f'{path}: {reason}; write it with python -m models.evaluate --json')


@dataclass(frozen=True)
class Scored:
    """One network's scores.

    Attributes:
        name: of its file, without the ending.
        scores: (mean IoU, that without background) from 0 to 1, by attack.
        weights: the file that was scored, as the JSON says it; empty where it does not.
        network: kind of network, as `--network` of `models.evaluate` takes it.
        fusion: metrics of the fused pictures; empty where they were not asked for.
    """

    name: str
    scores: dict[str, tuple[float, float]]
    weights: str = ''
    network: str = 'paif'
    fusion: dict[str, float] = field(default_factory=dict)


def read(path: Path) -> Scored:
    """Read one file.

    Raises:
        ScoresError: it holds no scores.
    """
    try:
        tree = json.loads(path.read_text('utf-8'))
        found = {
            name: (float(entry['miou']), float(entry['miou_foreground']))
            for name, entry in tree['attacks'].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise ScoresError(path, f'no scores ({err!r})') from err
    wrong = [name for name, both in found.items() if not all(0 <= value <= 1 for value in both)]
    if wrong or not found:
        raise ScoresError(path, f'scores outside 0 to 1: {", ".join(wrong) or "none at all"}')
    network, fusion = str(tree.get('network', 'paif')), tree.get('fusion_metrics') or {}
    return Scored(path.stem, found, _weights(tree), network, fusion)


def read_all(folder: Path = SCORES) -> list[Scored]:
    """Read every file of a folder, by name."""
    return [read(path) for path in sorted(folder.glob('*.json'))]


def table(networks: Sequence[Scored]) -> str:
    """Return the table in Markdown, without its comments.

    Args:
        networks: rows; the best under the strongest attack that all have comes first.
    """
    if not networks:
        return 'No network has been scored yet.'
    known = {attack for network in networks for attack in network.scores}
    attacks = [name for name in FIRST if name in known] + sorted(known - set(FIRST))
    shared = [name for name in attacks if all(name in network.scores for network in networks)]
    key = shared[-1] if shared else attacks[0]
    ranked = sorted(networks, key=lambda one: (-one.scores.get(key, (0.0, 0.0))[1], one.name))
    heads = ['clean' if name == 'none' else f'`{name}`' for name in attacks]
    lines = [
        f'| Network | {" | ".join((*heads, *FUSION))} | Scores | Command |',
        '|' + '---|' * (len(attacks) + len(FUSION) + 3),
    ]
    for one in ranked:
        cells = [_cell(one.scores.get(name)) for name in attacks]
        cells += [f'{one.fusion[name]:.2f}' if name in one.fusion else '' for name in FUSION]
        lines.append(
            f'| `{one.name}` | {" | ".join(cells)} | [JSON](evaluation/{one.name}.json) | '
            f'`{command(one)}` |'
        )
    return '\n'.join(lines)


def command(network: Scored) -> str:
    """Return the command that writes a network's file."""
    kind = '' if network.network == 'paif' else f'--network {network.network} '
    fusion = '--fusion-metrics ' if network.fusion else ''
    return (
        f'python -m models.evaluate {kind}--weights {network.weights or network.name} --data DIR '
        f'--attacks {",".join(network.scores)} {fusion}'
        f'--json docs/evaluation/{network.name}.json'
    )


def _weights(tree: dict[str, Any]) -> str:
    weights = tree.get('weights', '')
    return weights if isinstance(weights, str) and not Path(weights).is_absolute() else ''


def _cell(both: tuple[float, float] | None) -> str:
    return f'{100 * both[0]:.1f} ({100 * both[1]:.1f})' if both else ''


def main(argv: list[str] | None = None) -> None:
    """Write the table and exit with 0, with 1 where it can't be written or is not current."""
    parser = argparse.ArgumentParser(
        prog='models.evaluation.choose',
        description='Write the table of docs/choose.md.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main_of(parser, argv, PAGE, MARK, lambda: table(read_all()))


if __name__ == '__main__':
    main()
