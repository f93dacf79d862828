"""Show why a network's mask says what it says: thermal or RGB?

    python -m models.attribution image VISIBLE THERMAL --weights models/weights/paif_small.safetensors
    python -m models.attribution bag RECORDING --weights ... --out why/ --count 8 --class person

Each sheet shows the pair and its result, and for each class of the mask the contribution maps of
both cameras (orange speaks for the class, blue against it) with their shares. Pictures must be
registered; they are resized to `--size`. The `gap` that is printed is what the shares do not
explain: raise `--steps` where it is large. See docs/attribution.md.
"""  # noqa: E501 - a command line

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from export.networks import NETWORKS
from export.to_onnx import parse_size
from models.attribution.explain import STEPS, Explanation, explain
from models.attribution.sheets import sheet
from models.checkpoint import CheckpointError
from paif_ros.command_line import TRAINING_LIBRARIES, add_version
from paif_ros.contract import ClassLabel
from paif_ros.engines.base import U8
from paif_ros.errors import PaifError
from paif_ros.pictures.drawing import resize_picture
from paif_ros.registration.alignment.scenes import COLOR_TOPIC, THERMAL_TOPIC, from_bag, to_grey


def read_image(visible: Path, thermal: Path) -> tuple[U8, U8]:
    """Read a pair: RGB uint8 [H, W, 3] and thermal uint8 [H, W], 16 bit by its own range.

    Raises:
        ValueError: a file is no picture.
    """
    color: NDArray[Any] | None = cv2.imread(str(visible), cv2.IMREAD_COLOR)
    heat: NDArray[Any] | None = cv2.imread(
        str(thermal), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    )
    for path, picture in ((visible, color), (thermal, heat)):
        if picture is None:
            msg = f'{path} is no picture that OpenCV reads'
            raise ValueError(msg)
    assert color is not None
    assert heat is not None
    grey = heat if heat.dtype == np.uint8 else to_grey(heat)
    return np.asarray(cv2.cvtColor(color, cv2.COLOR_BGR2RGB), np.uint8), np.asarray(grey, np.uint8)


def class_ids(names: list[str], classes: tuple[ClassLabel, ...]) -> list[int] | None:
    """Return the ids of named classes, None for no names.

    Raises:
        ValueError: there is no such class.
    """
    known = {label.name: label.id for label in classes}
    unknown = [name for name in names if name not in known]
    if unknown:
        msg = f'classes {unknown}: the network has {list(known)}'
        raise ValueError(msg)
    return [known[name] for name in names] or None


def summary(explanation: Explanation, classes: tuple[ClassLabel, ...]) -> list[dict[str, Any]]:
    """Return the reasons without their maps, for the JSON report."""
    rows = []
    for reason in explanation.reasons:
        row = {k: v for k, v in asdict(reason).items() if not k.endswith('_map')}
        row |= {'name': classes[reason.label].name, 'thermal_share': reason.thermal_share}
        rows.append(row | {'gap': reason.gap})
    return rows


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(
        prog='python -m models.attribution',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(top, *TRAINING_LIBRARIES)
    commands = top.add_subparsers(dest='command', required=True)
    image = commands.add_parser('image', help='one pair of pictures')
    image.add_argument('visible', type=Path)
    image.add_argument('thermal', type=Path)
    image.add_argument('--out', type=Path, default=Path('why.png'), help='sheet to write')
    bag = commands.add_parser('bag', help='pairs of a ROS 2 bag')
    bag.add_argument('bag', type=Path, help='folder of the bag, or an mcap or db3 file')
    bag.add_argument('--out', type=Path, default=Path('why'), help='folder of the sheets')
    bag.add_argument('--count', type=int, default=8, help='pairs, spread over the bag; default 8')
    bag.add_argument('--color-topic', default=COLOR_TOPIC)
    bag.add_argument('--thermal-topic', default=THERMAL_TOPIC)
    bag.add_argument('--slop', type=float, default=0.02, help='largest difference of stamps, s')
    for one in (image, bag):
        one.add_argument('--weights', type=Path, required=True)
        one.add_argument('--network', choices=sorted(NETWORKS), default='paif')
        one.add_argument('--config', help='for weights that carry none')
        one.add_argument(
            '--class', dest='names', action='append', default=[], help='may be given again'
        )
        one.add_argument('--size', type=parse_size, default=(256, 320), help='default 256x320')
        one.add_argument('--steps', type=int, default=STEPS, help=f'of the path, default {STEPS}')
        one.add_argument('--json', type=Path, help='write the shares there too')
    return top


def main(argv: list[str] | None = None) -> int:
    """Explain pairs; return 0, or 2 on bad input."""
    args = parser().parse_args(argv)
    try:
        network = NETWORKS[args.network].load(args.weights, args.config)
        classes = network.config.classes
        labels = class_ids(args.names, classes)
        if args.command == 'image':
            pairs, paths = [read_image(args.visible, args.thermal)], [args.out]
        else:
            pairs = from_bag(
                args.bag,
                args.count,
                color_topic=args.color_topic,
                thermal_topic=args.thermal_topic,
                slop=args.slop,
            ).pairs
            paths = [args.out / f'{number:04d}.png' for number in range(len(pairs))]
        report: list[dict[str, Any]] = []
        for (visible, thermal), path in zip(tqdm(pairs, unit='pair'), paths, strict=True):
            rgb, grey = (resize_picture(one, args.size) for one in (visible, thermal))
            found = explain(
                network,
                torch.from_numpy(np.array(grey))[None, None].float() / 255,
                torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 255,
                labels,
                args.steps,
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn = sheet(found, rgb, grey, classes)
            if not cv2.imwrite(str(path), cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)):
                msg = f'{path} could not be written: give a name that ends in .png'
                raise ValueError(msg)
            rows = summary(found, classes)
            absent = [name for name in args.names if name not in {row['name'] for row in rows}]
            report.append({'sheet': str(path), 'classes': rows, 'absent': absent})
    except (CheckpointError, PaifError, OSError, ValueError, cv2.error) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    for entry in report:
        print(entry['sheet'])
        for row in entry['classes']:
            print(
                f'  {row["name"]:12s} {row["pixels"]:7d} pixels  score {row["score"]:.2f}  '
                f'thermal {row["thermal"]:+.3f} ({row["thermal_share"]:.0%})  '
                f'visible {row["visible"]:+.3f}  gap {row["gap"]:+.3f}'
            )
        for name in entry['absent']:
            print(f'  {name:12s} is not in the mask')
    if args.json:
        args.json.write_text(json.dumps(report, indent=2))
    return 0


if __name__ == '__main__':
    sys.exit(main())
