"""`ros2 run paif_ros check_registration`: measures and shows how well both pictures fit."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from paif_ros.command_line import add_version
from paif_ros.errors import CalibrationError, PaifError
from paif_ros.registration.alignment.arguments import (
    FAILED,
    FINE,
    WRONG,
    add_scenes,
    check_picture,
    check_scenes,
    metres,
    pixels,
    read_scenes,
    split_ros,
)
from paif_ros.registration.alignment.refusal import InputError
from paif_ros.registration.calibration import Calibration, load
from paif_ros.registration.registration import MODES, Registration, Warp, parallax_px

LEAST_PATCHES = 6  # that must be sure, for a residual to be believed
EXAMPLES = """
examples:
  are the cameras registered as they come?
    ros2 run paif_ros check_registration --bag drive --overlay check.png
  does a calibration still hold?
    ros2 run paif_ros check_registration rig.yaml --live --overlay check.png
  at another depth, with both camera_infos and the transform in the file:
    ros2 run paif_ros check_registration rig.yaml --mode extrinsics --plane-depth 4 --bag drive
exit codes: 0 registered, 1 not registered or not to be told, 2 wrong arguments
"""


def main(argv: list[str] | None = None) -> None:
    """Run the command and exit with 0 (registered), 1 (not) or 2 (wrong arguments).

    Args:
        argv: the arguments without the program's name, those of the process where None.
    """
    own, ros_args = split_ros(sys.argv[1:] if argv is None else argv)
    args = _parser().parse_args(own)
    try:
        calibration, mode = _chosen(args)
    except CalibrationError as err:
        print(f'check_registration: {err}', file=sys.stderr)
        sys.exit(WRONG)
    try:
        good = _run(args, ros_args, Registration(mode, calibration), calibration)
    except PaifError as err:
        print(f'check_registration: {err}', file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print('check_registration: interrupted', file=sys.stderr)
        sys.exit(FAILED)
    sys.exit(FINE if good else FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='check_registration',
        description='Measure how well the thermal picture lies on the RGB picture, and show it.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'file', type=Path, nargs='?', help='calibration YAML; none checks the cameras as they are'
    )
    parser.add_argument('--mode', choices=MODES, help='as registration.mode; else what file holds')
    parser.add_argument(
        '--plane-depth',
        type=metres,
        default=0.0,
        help='metres, else that of the file; for extrinsics',
    )
    parser.add_argument(
        '--max-residual', type=pixels,
        help='median in RGB pixels up to which it counts as registered (0.5 %% of the width)',
    )  # fmt: skip
    parser.add_argument('--overlay', type=Path, help='picture to look at, before and after')
    add_scenes(parser, 10)
    add_version(parser)
    return parser


def _chosen(args: argparse.Namespace) -> tuple[Calibration | None, str]:
    """Return the calibration and the mode to check.

    Raises:
        CalibrationError: they do not fit each other, or one of them can't be right.
    """
    if args.overlay is not None:
        check_picture(args.overlay)
    check_scenes(args)
    calibration = load(args.file) if args.file is not None else None
    mode = args.mode or (calibration.mode if calibration is not None else 'none')
    if args.plane_depth and mode != 'extrinsics':
        has = calibration is not None and calibration.rotation is not None
        raise InputError(
            '--plane-depth',
            args.plane_depth,
            'extrinsics to use it with: '
            + ('add --mode extrinsics' if has else 'a file with rotation and translation')
            + f', mode {mode} has no depth',
        )
    Registration(mode, calibration)
    return calibration, mode


def _run(
    args: argparse.Namespace,
    ros_args: list[str],
    registration: Registration,
    calibration: Calibration | None,
) -> bool:
    from paif_ros.registration.alignment.sheet import before_after, write

    scenes = read_scenes(args, ros_args)
    print(scenes)
    warp = registration.warp(
        scenes.thermal_size,
        scenes.visible_size,
        scenes.visible_camera,
        scenes.thermal_camera,
        args.plane_depth,
    )
    if args.overlay is not None:
        write(before_after(scenes.pairs, warp), args.overlay)
        print(f'wrote {args.overlay}')
    if warp is not None:
        print(f'the thermal camera sees {warp.coverage:.0%} of the RGB picture')
    if registration.mode == 'extrinsics' and calibration is not None:
        _print_parallax(args, scenes, calibration)
    plain = [
        (visible, _resized(thermal, scenes.visible_size)) for visible, thermal in scenes.pairs
    ]
    if warp is None:
        return _judge(args, scenes, plain, None)
    from paif_ros.registration.edges import mean_correlation

    before = mean_correlation(plain)
    print(f'edge correlation without registration {_words(before)}')
    warped = [(visible, warp.apply(thermal)) for visible, thermal in scenes.pairs]
    return _judge(args, scenes, warped, warp)


def _judge(
    args: argparse.Namespace, scenes: Any, pairs: list[tuple[Any, Any]], warp: Warp | None
) -> bool:
    """Print what is measured, and return whether the pictures lie on each other."""
    from paif_ros.registration.alignment.fit import largest_residual
    from paif_ros.registration.alignment.patches import match
    from paif_ros.registration.edges import MIN_CORRELATION, edge_shift, mean_correlation

    valid = None if warp is None else warp.valid
    agreement = mean_correlation(pairs, valid)
    print(f'edge correlation {_words(agreement)} (registered is {MIN_CORRELATION} or more)')
    patches = match(pairs, np.eye(3), valid=valid)
    sure = int(patches.sure.sum())
    residual = patches.residual(np.eye(3), held_out=True)
    limit = args.max_residual or largest_residual(scenes.visible_size)
    if residual is not None and sure >= LEAST_PATCHES:
        print(f'residual {residual}; up to {limit:.2f} px counts as registered')
    shifts = [shift for v, t in pairs if (shift := edge_shift(v, t, valid)) is not None]
    if shifts:
        dx, dy, _ = np.median(np.array(shifts), axis=0)
        print(f'best shift of the whole picture: {dx:+.1f} px right, {dy:+.1f} px down')
    if agreement is None or sure < LEAST_PATCHES or residual is None:
        print(
            'NOT REGISTERED, or nothing to tell it by: take pairs of scenes with outlines that '
            'both cameras see'
        )
        return False
    good = agreement >= MIN_CORRELATION and residual.median <= limit
    print('REGISTERED' if good else 'NOT REGISTERED: calibrate, see docs/registration.md')
    return good


def _words(value: float | None) -> str:
    return 'not known: no edges' if value is None else f'{value:.2f}'


def _resized(thermal: Any, size: tuple[int, int]) -> Any:
    """Return what mode none makes of a thermal picture."""
    import cv2

    return cv2.resize(thermal, size, interpolation=cv2.INTER_LINEAR)


def _print_parallax(args: argparse.Namespace, scenes: Any, calibration: Calibration) -> None:
    """Print how far off things at other depths appear."""
    depth = args.plane_depth or calibration.plane_depth
    lens = scenes.visible_camera or calibration.visible_camera
    if lens is None or depth is None or calibration.translation is None:
        return  # the map could not have been made without them
    baseline = math.hypot(*calibration.translation[:2])
    focal = lens.scaled(scenes.visible_size).focal
    print(f'exact at {depth:g} m; parallax with {baseline * 1e3:.0f} mm between the cameras:')
    for factor in (0.25, 0.5, 2.0, 4.0, math.inf):
        shift = parallax_px(focal, baseline, depth * factor, depth)
        print(f'  {depth * factor:8.2f} m  {shift:6.1f} px')


if __name__ == '__main__':
    main()
