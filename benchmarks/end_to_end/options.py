"""What the commands that run the node on a real graph share."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from benchmarks.end_to_end.lines import ROOT, GraphError
from paif_ros.command_line import add_version

T = TypeVar('T')
NANO = ROOT / 'models' / 'weights' / 'paif_nano.onnx'
SIZES = ('vga', '720p', '1080p')  # of `cameras.SIZES`, which needs rclpy


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add `--version`, `--model` and `--json`."""
    add_version(parser)
    parser.add_argument('--model', type=Path, default=NANO, help='exported file (paif_nano)')
    parser.add_argument('--json', type=Path, metavar='OUT', help='write the figures there too')


def add_settings(parser: argparse.ArgumentParser, option: str, help_text: str) -> None:
    """Add an option that takes a parameter of the node, and may be repeated."""
    parser.add_argument(
        option, type=setting, action='append', default=[], metavar='NAME=VALUE', help=help_text
    )


def parsed(
    parser: argparse.ArgumentParser, argv: list[str] | None, **limits: tuple[float, float]
) -> argparse.Namespace:
    """Read the command line; refuse a model that is not there, and numbers out of their limits.

    Args:
        parser: with what `add_common` adds.
        argv: the arguments, None for those of the process.
        limits: least and most by option; a least of 0.0 is itself not allowed, one of 0 is.
    """
    args = parser.parse_args(argv)
    if not args.model.is_file():
        parser.error(f'there is no model file {str(args.model)!r}; export one, or name another')
    for option, (least, most) in limits.items():
        value = getattr(args, option)
        above = isinstance(least, float)
        if value > most or value < least or (above and value == least):
            words = f'above {least:g}, at most' if above else f'{least:g} to'
            parser.error(f'--{option} {value:g}: {words} {most:g}')
    return args


def setting(text: str) -> tuple[str, str]:
    """Read NAME=VALUE."""
    name, equals, value = text.partition('=')
    if not name or not equals:
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=VALUE, such as engine.threads=1')
    return name, value


def rates_of(text: str) -> list[float]:
    """Read rates with commas between them."""
    try:
        rates = [float(part) for part in text.split(',') if part]
    except ValueError:
        rates = [0.0]
    if any(not 0 < rate <= 1000 for rate in rates):
        raise argparse.ArgumentTypeError(f'{text!r}: rates are above 0, at most 1000, as in 10,30')
    return rates


def sizes_of(text: str) -> list[str]:
    """Read names of `SIZES` with commas between them."""
    names = text.split(',')
    if wrong := [name for name in names if name not in SIZES]:
        raise argparse.ArgumentTypeError(f'no size {wrong[0]!r}; there are {", ".join(SIZES)}')
    return names


def on_graph(prog: str, work: Callable[[], T]) -> T:
    """Do work with graphs, all of whose processes end where it fails or is stopped.

    Raises:
        SystemExit: with 1 where a process failed, which is said, 130 after Ctrl-C, 143 after
            SIGTERM.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return work()
    except GraphError as err:
        print(f'{prog}: {err}', file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f'\n{prog}: stopped', file=sys.stderr)
        sys.exit(130)
