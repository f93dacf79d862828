"""Times of the warp, and errors of the alignment against known homographies.

    python -m benchmarks.registration                                 # drawn scenes only
    python -m benchmarks.registration --folder ../shared/data/val     # with vi/ and ir/
    python -m benchmarks.registration --folder tests/data/pairs --picture docs/registration.jpg

Prints the tables of docs/registration.md; with `--picture` draws the picture of that page instead.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from paif_ros.command_line import add_version
from paif_ros.errors import CalibrationError
from paif_ros.registration.alignment.align import align, refine
from paif_ros.registration.alignment.fit import F64, transfer
from paif_ros.registration.alignment.scenes import from_folder, to_grey
from paif_ros.registration.alignment.sheet import before_after, write
from paif_ros.registration.calibration import Calibration, Intrinsics
from paif_ros.registration.edges import edge_correlation
from paif_ros.registration.registration import extrinsics_warp, homography_warp
from scenes.config import SceneConfig
from scenes.scene import Scene

U8 = NDArray[np.uint8]
Pairs = list[tuple[U8, U8]]
THERMAL = (640, 512)
VISIBLE = ((640, 480), (1920, 1080))
ROUNDS = 100
RIG, WIDE = 0, (960, 720)  # seed of the homography in the picture; columns and rows of that


def drawn(count: int) -> Pairs:
    """Return registered pairs of drawn scenes, day and night."""
    frames = [Scene(SceneConfig(n, ('day', 'night')[n % 2])).frame(5) for n in range(count)]
    return [(frame.visible, to_grey(frame.thermal)) for frame in frames]


def move(pairs: Pairs, seed: int) -> tuple[Pairs, F64]:
    """Return the pairs as a thermal camera of a smaller view takes them, and its homography."""
    rng = np.random.default_rng(seed)
    height, width = pairs[0][1].shape
    share = rng.uniform(0.55, 0.9)
    x, y = rng.uniform(0, 1 - share) * width, rng.uniform(0, 1 - share) * height
    wide, high = share * width, share * height
    corners = np.array([[x, y], [x + wide, y], [x + wide, y + high], [x, y + high]])
    corners += rng.uniform(-0.02, 0.02, (4, 2)) * width
    size = (round(0.8 * width), round(0.8 * height))
    own = np.array([[0, 0], [size[0] - 1, 0], [size[0] - 1, size[1] - 1], [0, size[1] - 1]])
    matrix = cv2.getPerspectiveTransform(own.astype(np.float32), corners.astype(np.float32))
    back = np.linalg.inv(matrix)
    return [
        (v, np.asarray(cv2.warpPerspective(t, back, size), np.uint8)) for v, t in pairs
    ], matrix


def print_errors(name: str, pairs: Pairs, rigs: int) -> None:
    """Align a data set for some rigs, and print median and largest errors."""
    height, width = pairs[0][1].shape
    own = np.eye(3) if name == 'drawn' else refine(pairs, np.eye(3))
    x, y = np.meshgrid(np.linspace(0, 0.8 * width - 1, 9), np.linspace(0, 0.8 * height - 1, 9))
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    for seed in range(rigs):
        moved, matrix = move(pairs, seed)
        start = time.monotonic()
        try:
            found = align(moved)
        except CalibrationError as err:
            print(f'| {name} | {len(pairs)} | refused: {err.key} {err.value} | | |')
            continue
        away = np.linalg.norm(
            transfer(found.homography, grid) - transfer(own @ matrix, grid), axis=1
        )
        residual = found.residual.median if found.residual else float('nan')
        seconds = time.monotonic() - start
        print(
            f'| {name} | {len(pairs)} | {np.median(away):.2f} | {away.max():.1f} | '
            f'{residual:.2f} | {seconds:.1f} s |',
            flush=True,
        )


def draw(pairs: Pairs, path: Path) -> None:
    """Move the thermal pictures, find the homography, and write first and last before and after.

    Args:
        pairs: registered ones.
        path: .png or .jpg.

    Raises:
        CalibrationError: no homography was found, or the file can't be written.
    """
    moved, matrix = move(pairs, RIG)
    found = align(moved)
    thermal, visible = moved[0][1].shape[::-1], moved[0][0].shape[1::-1]
    warp = homography_warp(found.calibration(thermal, visible), thermal, visible)
    sheet = before_after([moved[0], moved[-1]], warp)
    write(np.asarray(cv2.resize(sheet, WIDE, interpolation=cv2.INTER_AREA), np.uint8), path)
    corners = np.array([[0, 0], [thermal[0] - 1, thermal[1] - 1]], float)
    away = transfer(found.homography, corners) - transfer(matrix, corners)
    print(
        f'wrote {path}: two corners are {np.linalg.norm(away, axis=1).round(2).tolist()} px away'
    )


def print_times() -> None:
    """Print what a map costs to make and to use, on one thread."""
    cv2.setNumThreads(1)
    thermal = np.random.default_rng(0).integers(0, 256, THERMAL[::-1], np.uint8)
    heat = Intrinsics(*THERMAL, ((600, 0, 320), (0, 600, 256), (0, 0, 1)), 'plumb_bob',
                      (-0.3, 0.1, 0.001, 0.001, 0.0))  # fmt: skip
    print('| RGB size | warp | edge_correlation | make homography | make extrinsics |')
    print('|---|---|---|---|---|')
    for size in VISIBLE:
        scale = size[0] / 640
        rows = ((0.9 * scale, 0, 20 * scale), (0, 0.9 * scale, 10 * scale), (0, 0, 1))
        lens = Intrinsics(*size, ((550 * scale, 0, size[0] / 2), (0, 550 * scale, size[1] / 2),
                                  (0, 0, 1)), 'plumb_bob', heat.coefficients)  # fmt: skip
        start = time.perf_counter()
        warp = homography_warp(Calibration(THERMAL, size, homography=rows), THERMAL, size)
        homography = time.perf_counter() - start
        extrinsics_warp(lens, heat, ((1, 0, 0), (0, 1, 0), (0, 0, 1)), (0.05, 0, 0),
                        plane_depth=5.0, thermal_size=THERMAL, visible_size=size)  # fmt: skip
        extrinsics = time.perf_counter() - start - homography
        visible = np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), np.uint8)
        warped = warp.apply(thermal)
        takes: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            start = time.perf_counter()
            warp.apply(thermal)
            middle = time.perf_counter()
            edge_correlation(visible, warped, warp.valid)
            takes[0].append(middle - start)
            takes[1].append(time.perf_counter() - middle)
        each, compare = (1e3 * statistics.median(take) for take in takes)
        print(
            f'| {size[0]}x{size[1]} | {each:.2f} ms | {compare:.1f} ms | '
            f'{1e3 * homography:.0f} ms | {1e3 * extrinsics:.0f} ms |'
        )


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument(
        '--folder', type=Path, action='append', default=[], help='registered pairs'
    )
    parser.add_argument('--pairs', type=int, default=10, help='of each folder')
    parser.add_argument('--rigs', type=int, default=5, help='homographies to find')
    parser.add_argument(
        '--picture', type=Path, help='draw before and after of one --folder, .png or .jpg, and end'
    )
    args = parser.parse_args()
    if args.picture is not None:
        if len(args.folder) != 1:
            parser.error('--picture wants one --folder')
        draw(from_folder(args.folder[0], args.pairs).pairs, args.picture)
        return
    print_times()
    print('\n| pictures | pairs | median error px | largest | residual, median | time |')
    print('|---|---|---|---|---|---|')
    print_errors('drawn', drawn(8), args.rigs)
    for folder in args.folder:
        print_errors(folder.name, from_folder(folder, args.pairs).pairs, args.rigs)


if __name__ == '__main__':
    main()
