r"""Pictures for the documentation: smoke, night, glare and attacks, several networks side by side.

    python -m models.evaluation.gallery --weights STANDARD --weights ROBUST \
        --data ../shared/data --out docs/robustness.jpg

A row for each scene, a fused picture with its classes for each network. Below, the same scenes
attacked: each network by its own white-box attack, so the camera pictures shown are those made
against the last one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from models.attacks import parse_attack
from models.checkpoint import load_paif
from models.data import LabelledPair, generate, read_folder, read_video
from models.evaluation.fused import saved
from models.evaluation.masks import outcomes
from models.evaluation.sheets import panel, picture_bytes
from models.paif import PAIF
from paif_ros.command_line import TRAINING_LIBRARIES, add_version
from paif_ros.engines.base import U8
from paif_ros.pictures.drawing import color_mask, overlay, palette
from paif_ros.pictures.legend import draw_legend

WIDTH = 320  # of one picture
SCENE_SEED = 500  # evaluation's first one: day, night, glare, smoke follow each other
SMOKE_FILM, SMOKE_FRAME = '0117_1605', 120
QUALITY = 88


@dataclass(frozen=True)
class Row:
    """One scene.

    Attributes:
        title: what it shows.
        pair: the pictures; its label may be unknown.
        attack: name of the attack, 'none' for the pictures as they are.
    """

    title: str
    pair: LabelledPair
    attack: str


def choose(data: Path, classes: int, attack: str) -> list[Row]:
    """Return the rows: real night, day and smoke, generated smoke and glare, then two attacked.

    Of the labelled pairs of `data`/test those with most person pixels are taken.

    Raises:
        ValueError: there is no pair by day or by night, or no film of smoke.
    """
    pairs = read_folder(data / 'test', classes)
    most = {
        letter: max(
            (p for p in pairs if Path(p.name).stem.endswith(letter)),
            key=lambda p: int((p.label == 2).sum()),
            default=None,
        )
        for letter in 'ND'
    }
    films = [p for p in read_video(data / 'video', SMOKE_FRAME) if SMOKE_FILM in p.name]
    night, day = most['N'], most['D']
    if night is None or day is None or len(films) < 2:
        msg = f'{data}: expected pairs NAME_D and NAME_N in test/, and {SMOKE_FILM} in video/'
        raise ValueError(msg)
    _, _, glare, smoke = generate(range(SCENE_SEED, SCENE_SEED + 4), 1)
    return [
        Row('night', night, 'none'),
        Row('day', day, 'none'),
        Row('smoke', films[1], 'none'),
        Row('generated smoke', smoke, 'none'),
        Row('generated glare', glare, 'none'),
        Row(f'night, {attack}', night, attack),
        Row(f'day, {attack}', day, attack),
    ]


def draw(row: Row, networks: Sequence[tuple[str, PAIF]]) -> U8:
    """Draw a scene: both cameras, what each network makes of it, and the label.

    Returns:
        uint8 RGB, 3 + number of networks panels wide.
    """
    found = [
        next(iter(outcomes(network, [row.pair], [parse_attack(row.attack)])))
        for _, network in networks
    ]
    last = found[-1]
    colors = palette(networks[0][1].config.classes)
    shown = [
        (f'RGB, {row.title}', picture_bytes(last.visible[0])),
        ('thermal', picture_bytes(last.thermal[0])),
    ]
    for (name, _), outcome in zip(networks, found, strict=True):
        picture = overlay(saved(outcome)[0], outcome.masks[0], colors, 0.5)
        shown.append((f'fused, {name}', picture))
    known = row.pair.label < len(networks[0][1].config.classes)
    label = color_mask(np.where(known, row.pair.label, 0).astype(np.uint8), colors)
    title = 'label' if known.any() else 'no label'
    shown.append((title, draw_legend(label, networks[0][1].config.classes)))
    return np.hstack([panel(text, _small(picture)) for text, picture in shown])


def _small(picture: U8) -> U8:
    """Return a picture of the sheet's width."""
    size = (WIDTH, round(WIDTH * picture.shape[0] / picture.shape[1]))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def main(argv: list[str] | None = None) -> int:
    """Draw the gallery; return 0, or 2 on bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('--weights', type=Path, action='append', required=True)
    parser.add_argument('--data', type=Path, required=True, help='folder with test/ and video/')
    parser.add_argument('--attack', default='pgd5')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--threads', type=int, default=2)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        networks = [(path.stem, load_paif(path)) for path in args.weights]
        for _, network in networks:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        parse_attack(args.attack)
        rows = choose(args.data, len(networks[0][1].config.classes), args.attack)
    except (OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    sheet = np.vstack([draw(row, networks) for row in rows])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    bgr = cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(args.out), bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
