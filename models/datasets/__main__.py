"""Check data sets before training: every header, every label.

    python -m models.datasets ../shared/data/train mfnet:~/ir_seg_dataset
    python -m models.datasets --split train --classes background,person fmb:~/FMB --map car=ignore

Prints what each holds, or what is wrong with it (the first 10 problems and their number). Exits 0
where all are fine, 1 where files are wrong, 2 where a folder, a name or an option is.
"""

from __future__ import annotations

import argparse
import sys

from models.datasets.errors import ClassMapError, DatasetError, LayoutError
from models.datasets.pair import IGNORE
from models.datasets.reader import Summary
from models.datasets.registry import find_reader
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

FINE, WRONG_FILES, WRONG_USE = 0, 1, 2


def described(summary: Summary) -> str:
    """Return a summary as lines to print."""
    sizes = ', '.join(f'{c}x{r}: {n}' for (r, c), n in summary.sizes.most_common(5))
    if len(summary.sizes) > 5:
        sizes += f' and {len(summary.sizes) - 5} more sizes'
    times = ', '.join(f'{name or "not marked"} {n}' for name, n in sorted(summary.times.items()))
    total = max(sum(summary.pixels.values()), 1)
    names = {**dict(enumerate(summary.names)), IGNORE: 'ignored'}
    shares = ', '.join(
        f'{names.get(number, number)} {100 * summary.pixels[number] / total:.2f} %'
        for number in sorted({*range(len(summary.names)), *summary.pixels})
    )
    return (
        f'  pairs   {summary.pairs} ({times})\n  sizes   {sizes} (columns x rows)\n'
        f'  pixels  {shares}'
    )


def _mapped(text: str) -> tuple[str, str]:
    source, equals, target = text.partition('=')
    if not (source and equals and target):
        raise argparse.ArgumentTypeError(f'{text!r} is not CLASS=TARGET')
    return source, target


def main(argv: list[str] | None = None) -> int:
    """Check and describe data sets; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('data', nargs='+', metavar='PATH', help='folder, or NAME:FOLDER')
    parser.add_argument('--split', default='all', help='train, val, test or all')
    parser.add_argument(
        '--classes', default='4', help='number of classes, or their names with commas'
    )
    parser.add_argument(
        '--map', type=_mapped, action='append', default=[], metavar='CLASS=TARGET',
        help="class of the data set to one of the network's, background or ignore",
    )  # fmt: skip
    args = parser.parse_args(argv)
    classes = int(args.classes) if args.classes.isdecimal() else args.classes.split(',')
    code = FINE
    for text in args.data:
        try:
            reader, folder = find_reader(text)
            print(f'{reader.name}:{folder}')
            print(described(reader.check(folder, args.split, classes, dict(args.map))))
        except (LayoutError, ClassMapError) as err:
            print(err, file=sys.stderr)
            code = WRONG_USE
        except DatasetError as err:
            print(err, file=sys.stderr)
            code = max(code, WRONG_FILES)
    return code


if __name__ == '__main__':
    sys.exit(main())
