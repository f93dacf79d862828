"""Paints a thermal picture from CamVid's labels and luma, for half-synthetic pairs.

No thermal camera was there: temperatures are invented, per frame and per object, so that a network
learns that warmth is a hint and not the label. What keeps the label from being read off:

* outlines wander by a pixel or two and are blurred;
* some objects are as warm as what surrounds them, some cars colder, some people too (a hot day);
* windows, lamps, manholes, walls and lit patches of the background are as warm as people;
* every class takes part of its texture from the luma.

The levels are ours, set by eye beside MSRS frames; no source gives them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.datasets.pair import Bytes
from paif_ros.thermal.agc import Agc, ThermalConfig
from scenes.config import SceneConfig
from scenes.noise import fractal, layer
from scenes.sensor import COUNTS_PER_DEGREE, ThermalSensor

Degrees = NDArray[np.float32]
Mask = NDArray[np.bool_]

CAMVID = (
    'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence',
    'car', 'pedestrian', 'bicyclist', 'unlabelled',
)  # fmt: skip
CAR, PEDESTRIAN, BICYCLIST, UNLABELLED = 8, 9, 10, 11
# Lowest and highest mean of a class in a frame, in degC above the air.
LEVELS = (
    (-7.0, -0.5), (-1.5, 2.5), (-1.5, 2.0), (-1.5, 2.0), (-1.5, 2.0), (-2.0, 1.0), (-1.5, 2.0),
    (-2.0, 3.0), (-1.5, 2.5), (-1.0, 1.0), (-1.0, 1.0), (-2.0, 2.0),
)  # fmt: skip
SMALLEST = 12  # pixels: smaller pieces of an object are left at the level of their class


@dataclass(frozen=True)
class Objects:
    """The chance of each look of a person, a cyclist or a car; the rest of the chance is 'warm'.

    Attributes:
        hidden: as warm as the surroundings.
        cold: colder than them; for cars, parked ones.
    """

    hidden: float
    cold: float


PEOPLE, CARS = Objects(hidden=0.08, cold=0.04), Objects(hidden=0.2, cold=0.25)


def paint_thermal(label: Bytes, visible: Bytes, rng: np.random.Generator) -> Bytes:
    """Paint what a thermal camera might have seen.

    Args:
        label: uint8 [H, W], CamVid's ids 0 to 11; sides of 64 to 2048 pixels.
        visible: uint8 [H, W, 3] RGB of the same frame.
        rng: every draw comes from it, so equal generators paint equal bytes.

    Returns:
        uint8 [H, W], hot is white; through the node's own gain control from 16 bit.
    """
    height, width = label.shape
    luma = cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY).astype(np.float32)
    degrees = _scenery(label, luma, rng)
    _false_warmth(degrees, label, luma, rng)
    _people(degrees, label, luma, rng)
    _cars(degrees, label, luma, rng)
    degrees = cv2.GaussianBlur(_wander(degrees, rng), (0, 0), rng.uniform(0.7, 1.5))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    degrees -= np.float32(rng.uniform(0, 1.5)) * ((x * x + y * y) / 2).astype(np.float32)
    scene = SceneConfig(seed=int(rng.integers(2**31)), height=height, width=width)
    counts = ThermalSensor(scene).expose(degrees + np.float32(rng.uniform(0, 30)), 0)
    return Agc().apply(counts, _range(counts, rng), 0)


def _range(counts: NDArray[np.uint16], rng: np.random.Generator) -> ThermalConfig:
    """Draw the gain: half the time the node's own, else wide, as MSRS's dark frames are."""
    if rng.random() < 0.5:
        return ThermalConfig()
    low, high = (float(value) for value in np.percentile(counts, [0.5, 99.5]))
    span = max(high - low, COUNTS_PER_DEGREE)
    low -= span * rng.uniform(0, 0.1)
    return ThermalConfig(agc='fixed', range_min=low, range_max=low + span * rng.uniform(1.2, 2.5))


def _scenery(label: Bytes, luma: Degrees, rng: np.random.Generator) -> Degrees:
    """Give every class its level, slopes, clouds of warmth, and texture from the luma."""
    size = label.shape
    low, high = np.array(LEVELS, np.float32).T
    count = len(CAMVID)
    levels = rng.uniform(low, high).astype(np.float32)
    # Bright paint heats less, sunlit walls more: the sign of the texture is drawn per class.
    coarse_gain = rng.normal(0.4, 1.0, count).astype(np.float32)
    fine_gain = rng.normal(0.8, 1.0, count).astype(np.float32)
    smooth = cv2.GaussianBlur(luma, (0, 0), 8)
    degrees = levels[label] + coarse_gain[label] * (smooth - smooth.mean()) / 64
    degrees += fine_gain[label] * (luma - smooth) / 40
    degrees += fractal(rng, size, (3, 4), 4) * np.float32(rng.uniform(0.2, 0.8))
    rows = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None]
    cols = np.linspace(-1, 1, size[1], dtype=np.float32)[None]
    slope_y, slope_x = rng.normal(0, 0.8, 2).astype(np.float32)
    degrees += slope_y * rows + slope_x * cols
    return np.asarray(degrees, np.float32)


def _false_warmth(degrees: Degrees, label: Bytes, luma: Degrees, rng: np.random.Generator) -> None:
    """Warm up parts of the background: panes, lamps, manholes, walls, lit patches."""
    height, width = label.shape
    static = (label < CAR) | (label == UNLABELLED)
    for _ in range(int(rng.integers(4, 14))):
        row, col = int(rng.integers(height)), int(rng.integers(width))
        kind = int(label[row, col])
        if not static[row, col] or CAMVID[kind] == 'sky':
            continue
        tall, wide = (int(side) for side in np.exp(rng.uniform(np.log(3), np.log(48), 2)))
        shape = np.zeros(label.shape, np.uint8)
        if CAMVID[kind] in ('road', 'pavement'):
            cv2.ellipse(shape, (col, row), (wide // 2 + 2, wide // 6 + 1), 0, 0, 360, 1, -1)
        elif CAMVID[kind] in ('building', 'fence', 'unlabelled') and rng.random() < 0.7:
            for pane in range(int(rng.integers(1, 5))):  # a row of windows
                left = col + pane * (wide + 4)
                cv2.rectangle(shape, (left, row), (left + wide, row + tall), 1, -1)
        else:
            axes = (max(wide // 2, 2), max(tall // 2, 2))
            cv2.ellipse(shape, (col, row), axes, float(rng.uniform(-20, 20)), 0, 360, 1, -1)
        here = (shape > 0) & (label == kind)
        degrees[here] += np.float32(rng.uniform(1.5, 8) * rng.choice([1, 1, 1, -0.4]))
    # What is bright in the picture, a lamp, a sunlit wall, is often warm as well.
    lit = (luma > np.percentile(luma[static], 92)) if static.any() else static
    lit = lit & static & (label != 0)
    count, pieces, boxes, _ = cv2.connectedComponentsWithStats(lit.astype(np.uint8))
    for number in range(1, count):
        if 8 <= boxes[number, cv2.CC_STAT_AREA] <= 4000 and rng.random() < 0.35:
            left, top, wide, tall = boxes[number, :4]
            window = np.s_[top : top + tall, left : left + wide]
            degrees[window][pieces[window] == number] += np.float32(rng.uniform(1, 6))


def _instances(label: Bytes, kind: int) -> list[tuple[tuple[slice, slice], Mask]]:
    """Return window and mask of each connected piece of a class."""
    count, pieces, boxes, _ = cv2.connectedComponentsWithStats((label == kind).astype(np.uint8))
    found = []
    for number in range(1, count):
        left, top, wide, tall, area = (int(value) for value in boxes[number])
        if area >= SMALLEST:
            window = np.s_[top : top + tall, left : left + wide]
            found.append((window, pieces[window] == number))
    return found


def _look(chances: Objects, rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < chances.hidden:
        return 'hidden'
    return 'cold' if draw < chances.hidden + chances.cold else 'warm'


def _around(degrees: Degrees, label: Bytes, window: tuple[slice, slice]) -> float:
    """Return the median temperature of the background in and around a window."""
    rows, cols = window
    wide = np.s_[max(rows.start - 8, 0) : rows.stop + 8, max(cols.start - 8, 0) : cols.stop + 8]
    near = (label[wide] < CAR) | (label[wide] == UNLABELLED)
    return float(np.median(degrees[wide][near])) if near.any() else float(np.median(degrees))


def _patches(rng: np.random.Generator, size: tuple[int, int], cells: int) -> Degrees:
    """Return smooth noise about an object, standard deviation about 1."""
    return layer(rng, size, (cells, cells)) if min(size) > 2 else np.zeros(size, np.float32)


def _people(degrees: Degrees, label: Bytes, luma: Degrees, rng: np.random.Generator) -> None:
    """Warm skin, cooler clothes; of a cyclist the lower part is the bike, near the air."""
    season = np.float32(rng.uniform(6, 18))  # skin above the surroundings: winter to summer
    for kind in (PEDESTRIAN, BICYCLIST):
        for window, mask in _instances(label, kind):
            size = mask.shape
            around, look = _around(degrees, label, window), _look(PEOPLE, rng)
            cloth = luma[window] - luma[window].mean()
            values = np.full(size, around, np.float32) + 0.012 * rng.normal() * cloth
            if look != 'hidden':
                skin = season * np.float32(rng.uniform(0.7, 1.2))
                skin = -0.25 * skin if look == 'cold' else skin
                height = np.linspace(0, 1, size[0], dtype=np.float32)[:, None]
                # Coat and trousers keep a share of the warmth in; head and hands do not.
                torso, legs = rng.uniform(0.3, 0.95, 2)
                share = np.where(height < 0.16, 1.0, np.where(height < 0.55, torso, legs))
                share = share + 0.15 * _patches(rng, size, 5)
                if kind == BICYCLIST:
                    bike = np.float32(rng.uniform(0.5, 0.7))
                    share = np.where(height > bike, rng.uniform(-0.1, 0.3), share)
                values += skin * np.clip(share, -0.1, 1.2).astype(np.float32)
            degrees[window][mask] = values[mask]


def _cars(degrees: Degrees, label: Bytes, luma: Degrees, rng: np.random.Generator) -> None:
    """Driven cars have warm wheels, bonnets and undersides; parked ones are near the air or below.

    Glass mirrors the sky, so dark parts of the upper half are cold, or warm where people sit.
    """
    for window, mask in _instances(label, CAR):
        size = mask.shape
        around, look = _around(degrees, label, window), _look(CARS, rng)
        body = {'hidden': rng.normal(0, 0.3), 'cold': rng.uniform(-4, -0.5)}.get(
            look, rng.uniform(0.3, 4.5)
        )
        shade = luma[window] - luma[window].mean()
        values = around + body + 0.02 * rng.normal(0.3, 0.6) * shade + 0.7 * _patches(rng, size, 4)
        height = np.linspace(0, 1, size[0])[:, None]
        along = np.linspace(0, 1, size[1])[None]
        glass = (height < 0.5) & (shade < 0)
        values = values + glass * rng.uniform(-4, 2)
        if look == 'warm':
            pit, heat = rng.uniform(0.1, 0.9), rng.uniform(2, 12)
            bonnet = np.exp(-(((along - pit) / 0.25) ** 2) - ((height - 0.6) / 0.18) ** 2)
            values = values + rng.uniform(0, 6) * bonnet + heat * _wheels(size, rng)
            values = values + rng.uniform(0, 5) * (height > 0.9)
        degrees[window][mask] = values[mask]


def _wheels(size: tuple[int, int], rng: np.random.Generator) -> Degrees:
    """Return where two tyres touch the lower edge, 0 to 1."""
    drawn = np.zeros(size, np.uint8)
    radius = max(1, round(size[0] * rng.uniform(0.05, 0.13)))
    for place in (rng.uniform(0.08, 0.3), rng.uniform(0.7, 0.92)):
        middle = (round(place * size[1]), size[0] - radius)
        cv2.ellipse(drawn, middle, (max(1, radius * 2 // 3), radius), 0, 0, 360, 1, -1)
    return drawn.astype(np.float32)


def _wander(degrees: Degrees, rng: np.random.Generator) -> Degrees:
    """Bend the picture by up to about 2 pixels: real pairs are registered no better."""
    height, width = degrees.shape
    strength, shift = rng.uniform(0.2, 0.7), rng.normal(0, 0.6, 2)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    across = x + np.float32(strength) * layer(rng, degrees.shape, (24, 32)) + np.float32(shift[0])
    down = y + np.float32(strength) * layer(rng, degrees.shape, (24, 32)) + np.float32(shift[1])
    bent = cv2.remap(degrees, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(bent, np.float32)
