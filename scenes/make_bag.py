"""Make a ROS 2 bag of drawn scenes or of a real clip.

python -m scenes.make_bag street                        # 20 s by day, at night, in glare, smoke
python -m scenes.make_bag drive --data path/to/clip     # clip_visible.mp4, clip_infrared.mp4
"""

from __future__ import annotations

import argparse
from pathlib import Path

from paif_ros.command_line import add_version
from scenes.bag import write_bag
from scenes.clips import Clip, drawn_clip, real_clip
from scenes.config import CONDITIONS


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) of a text such as 480x640.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    sides = text.lower().split('x')
    if len(sides) != 2 or not all(side.isdigit() for side in sides):
        raise argparse.ArgumentTypeError(f'{text!r} is no size: pass HEIGHTxWIDTH such as 480x640')
    return int(sides[0]), int(sides[1])


def choose_clip(
    data: Path | None,
    seconds: float | None,
    rate: float | None,
    *,
    conditions: str = ','.join(CONDITIONS),
    size: tuple[int, int] = (480, 640),
    seed: int = 0,
) -> Clip:
    """Return the real clip at `data`, or drawn scenes where that is None.

    Args:
        data: prefix or folder of a real clip.
        seconds: length; None is 20 for drawn scenes and all of a real clip.
        rate: pairs per second; None is 10 for drawn scenes and its own for a real clip.
        conditions: names of drawn conditions, separated by commas.
        size: (height, width) of drawn scenes.
        seed: of drawn scenes.

    Raises:
        FileNotFoundError: no clip is there.
        ValueError: an argument is out of range.
    """
    if data is not None:
        return real_clip(data, seconds, rate)
    names = [name.strip() for name in conditions.split(',') if name.strip()]
    return drawn_clip(names, 20.0 if seconds is None else seconds, rate or 10.0, size, seed)


def main() -> None:
    """Read the command line and write the bag."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument('out', type=Path, help='folder of the bag, made here')
    parser.add_argument('--data', type=Path, help='real clip: prefix of a video pair, or a folder')
    parser.add_argument('--seconds', type=float, help='length (20; all of a real clip)')
    parser.add_argument('--rate', type=float, help='pairs per second (10; own of a real clip)')
    parser.add_argument('--conditions', default=','.join(CONDITIONS), help='drawn one by one')
    parser.add_argument('--size', type=parse_size, default=(480, 640), help='HEIGHTxWIDTH')
    parser.add_argument('--seed', type=int, default=0, help='equal seeds draw equal bags')
    args = parser.parse_args()
    try:
        clip = choose_clip(
            args.data,
            args.seconds,
            args.rate,
            conditions=args.conditions,
            size=args.size,
            seed=args.seed,
        )
        summary = write_bag(args.out, clip, args.seed)
    except (OSError, ValueError) as err:
        parser.exit(1, f'make_bag: {err}\n')
    parts = ', '.join(f'{part.name} {part.count}' for part in summary.sections)
    print(f'{summary.path}: {summary.pairs} pairs at {summary.rate:g} Hz ({parts})')


if __name__ == '__main__':
    main()
