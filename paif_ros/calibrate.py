"""`ros2 run paif_ros calibrate`: finds where the thermal picture lies in the RGB one."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from paif_ros.command_line import add_version
from paif_ros.errors import PaifError
from paif_ros.registration.alignment.arguments import (
    FAILED,
    FINE,
    WRONG,
    add_scenes,
    check_picture,
    check_scenes,
    pixels,
    read_scenes,
    split_ros,
)
from paif_ros.registration.alignment.refusal import InputError
from paif_ros.registration.calibration import save

METHODS = ('edges', 'chessboard', 'circles', 'acircles', 'points')
EXAMPLES = """
examples:
  a recording, without a board; best ten or more different scenes with outlines:
    ros2 run paif_ros calibrate rig.yaml --bag drive --count 20
  a chessboard of 9x7 squares has 8x6 inner corners; both cameras must see it, so heat it:
    ros2 run paif_ros calibrate rig.yaml --live --method chessboard --board 8x6 --interval 3
  points that you picked: thermal column, thermal row, RGB column, RGB row in each line:
    ros2 run paif_ros calibrate rig.yaml --folder pictures --method points --points points.csv
then give the file to the node:
  ros2 launch paif_ros fusion.launch.py calibration:=$PWD/rig.yaml
exit codes: 0 written, 1 nothing that holds could be found, 2 wrong arguments
"""


def main(argv: list[str] | None = None) -> None:
    """Run the command and exit with 0 (written), 1 (failed) or 2 (wrong arguments).

    Args:
        argv: the arguments without the program's name, those of the process where None.
    """
    own, ros_args = split_ros(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(own)
    try:
        _check(args)
    except PaifError as err:
        print(f'calibrate: {err}', file=sys.stderr)
        sys.exit(WRONG)
    try:
        _run(args, ros_args)
    except PaifError as err:
        print(f'calibrate: {err}', file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print('calibrate: interrupted, nothing was written', file=sys.stderr)
        sys.exit(FAILED)
    sys.exit(FINE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='calibrate',
        description='Find the homography from the thermal to the RGB picture and write it.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'out', metavar='OUT', type=Path, help='YAML file to write, for registration.file'
    )
    parser.add_argument(
        '--method', choices=METHODS, default='edges',
        help='edges of any scenes, a board that both cameras see, or picked points (%(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--board', metavar='COLUMNSxROWS', help='inner corners of a chessboard, or circles'
    )
    parser.add_argument(
        '--points', type=Path, help='CSV or YAML of point pairs; without it a window opens'
    )
    parser.add_argument(
        '--max-residual', type=pixels,
        help='median in RGB pixels above which nothing is written (0.5 %% of the width)',
    )  # fmt: skip
    parser.add_argument(
        '--overlay', type=Path, help='picture of the result to look at (OUT with .png)'
    )
    parser.add_argument('--replace', action='store_true', help='write over files that are there')
    add_scenes(parser, 20)
    add_version(parser)
    return parser


def _check(args: argparse.Namespace) -> None:
    """Refuse arguments that would fail only after the work.

    Raises:
        InputError: one of them.
    """
    if args.out.exists() and not args.replace:
        raise InputError('OUT', str(args.out), 'a new file, or --replace')
    if not args.out.parent.is_dir() or args.out.suffix.lower() not in ('.yaml', '.yml'):
        raise InputError('OUT', str(args.out), 'a .yaml file in a folder that is there')
    args.overlay = args.overlay or args.out.with_suffix('.png')
    check_picture(args.overlay)
    if args.overlay.exists() and not args.replace:
        raise InputError('--overlay', str(args.overlay), 'a new file, or --replace')
    check_scenes(args)
    is_board = args.method in ('chessboard', 'circles', 'acircles')
    if is_board != (args.board is not None):
        raise InputError(
            '--board', args.board, 'COLUMNSxROWS with --method chessboard, circles or acircles'
        )
    if args.points is not None and args.method != 'points':
        raise InputError('--points', str(args.points), '--method points with it')
    if is_board:
        from paif_ros.registration.alignment.board import Board

        Board.parse(args.method, args.board)


def _run(args: argparse.Namespace, ros_args: list[str]) -> None:
    from paif_ros.registration.alignment.sheet import before_after, write
    from paif_ros.registration.registration import homography_warp

    scenes = read_scenes(args, ros_args)
    print(scenes)
    estimate = _estimate(args, scenes)
    calibration = replace(
        estimate.calibration(scenes.thermal_size, scenes.visible_size),
        visible_camera=scenes.visible_camera,
        thermal_camera=scenes.thermal_camera,
    )
    warp = homography_warp(calibration, scenes.thermal_size, scenes.visible_size)
    print(f'{estimate.method}: residual {estimate.residual or "not known"}')
    for note in (*estimate.notes, *_agreement(scenes.pairs, warp)):
        print(f'note: {note}')
    print(f'the thermal camera sees {warp.coverage:.0%} of the RGB picture')
    write(before_after(scenes.pairs, warp), args.overlay)
    save(calibration, args.out)
    print(f'wrote {args.out}; look at {args.overlay} before you rely on it')


def _estimate(args: argparse.Namespace, scenes: Any) -> Any:
    """Return what the chosen method finds."""
    limit = args.max_residual or 0.0
    if args.method == 'edges':
        from paif_ros.registration.alignment.align import align

        return align(scenes.pairs, limit)
    from paif_ros.registration.alignment import fit

    if args.method == 'points':
        from paif_ros.registration.alignment import points

        thermal, visible = (
            points.read(args.points) if args.points else points.click(*scenes.pairs[0])
        )
        groups = [list(side.reshape(-1, 1, 2)) for side in (thermal, visible)]
        method = f'points, {len(thermal)} picked'
    else:
        from paif_ros.registration.alignment.board import Board, find_both

        board = Board.parse(args.method, args.board)
        *groups, used = find_both(scenes.pairs, board)
        print(f'{board}: seen by both cameras in {len(used)} of {len(scenes.pairs)} pairs')
        method = f'{board}, {len(used)} pairs'
    return fit.estimate(
        *groups,
        thermal_size=scenes.thermal_size,
        visible_size=scenes.visible_size,
        method=method,
        max_residual=limit,
    )


def _agreement(pairs: list[tuple[Any, Any]], warp: Any) -> list[str]:
    """Return how well the edges agree now, and a warning where they do not."""
    from paif_ros.registration.edges import MIN_CORRELATION, mean_correlation

    mean = mean_correlation([(v, warp.apply(t)) for v, t in pairs], warp.valid)
    if mean is None:
        return ['no edges to compare in these pictures']
    words = f'edges agree with a correlation of {mean:.2f}'
    if mean < MIN_CORRELATION:
        words += f', under {MIN_CORRELATION}: look at the picture, this may be wrong'
    return [words]


if __name__ == '__main__':
    main()
