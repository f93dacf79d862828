"""Draw a contact sheet of all conditions.

python -m scenes.preview --out sheet.png
python -m scenes.preview --out sheet.png --seeds 3,4,5 --index 60
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from paif_ros.command_line import add_version
from scenes.config import CONDITIONS, SceneConfig
from scenes.scene import Frame, Scene

COLORS = np.array([(0, 0, 0), (64, 128, 255), (255, 70, 60), (250, 210, 40)], np.uint8)


def to_grey(thermal: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return counts stretched between their 1st and 99.7th hundredth, uint8 [H, W]."""
    low, high = np.percentile(thermal, (1, 99.7))
    scaled = (thermal.astype(np.float32) - low) * (255 / max(float(high - low), 1.0))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def row_of(frame: Frame) -> NDArray[np.uint8]:
    """Return colour, thermal and labels side by side, uint8 [H, 3 W, 3] RGB."""
    grey = np.repeat(to_grey(frame.thermal)[..., None], 3, axis=2)
    overlay = frame.visible // 2 + COLORS[frame.label] // 2
    return np.concatenate([frame.visible, grey, overlay], axis=1)


def sheet(seeds: list[int], index: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return one row for each condition and seed.

    Args:
        seeds: of the scenes.
        index: number of the frame that is shown.
        size: (height, width) of one picture.

    Returns:
        uint8 [rows, columns, 3] RGB.
    """
    rows = []
    for condition in CONDITIONS:
        for seed in seeds:
            config = SceneConfig(seed=seed, condition=condition, height=size[0], width=size[1])
            row = row_of(Scene(config).frame(index))
            name = f'{condition} seed {seed}'
            cv2.putText(row, name, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 2)
            cv2.putText(row, name, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (200, 30, 30), 1)
            rows.append(row)
    return np.concatenate(rows)


def main() -> None:
    """Read the command line and write the sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument('--out', type=Path, required=True, help='picture to write, .png or .jpg')
    parser.add_argument('--seeds', default='0,1', help='scenes of each condition, such as 0,1')
    parser.add_argument('--index', type=int, default=20, help='number of the frame')
    parser.add_argument('--size', default='480x640', help='HEIGHTxWIDTH of one picture')
    args = parser.parse_args()
    height, width = (int(side) for side in args.size.split('x'))
    picture = sheet([int(seed) for seed in args.seeds.split(',')], args.index, (height, width))
    if not cv2.imwrite(str(args.out), picture[..., ::-1]):
        raise SystemExit(
            f'could not write {args.out}: does its folder exist, does it end in .png?'
        )
    print(f'{args.out}: {picture.shape[1]}x{picture.shape[0]}')


if __name__ == '__main__':
    main()
