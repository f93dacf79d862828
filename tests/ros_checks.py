"""Pictures that the tests of the node send, and what must hold whenever it has ended."""

from __future__ import annotations

import numpy as np
from ros_rig import Ending, Rig, image

from paif_ros.monitoring.accounting import DropReason, Source
from paif_ros.monitoring.statistics import PAIR_REASONS

SIZE = (48, 64)
PERIOD = 33_333_333  # ns
START = 1_000 * 10**9


def camera_pair(
    number: int, size: tuple[int, int] = SIZE, top: int = 60000
) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(number)
    return random.integers(0, 256, (*size, 3), np.uint8), random.integers(0, top, size, np.uint16)


def send(rig: Rig, number: int, size: tuple[int, int] = SIZE, skew: int = 0) -> None:
    color, heat = camera_pair(number, size)
    stamp = START + number * PERIOD
    rig.send(image(color, stamp, 'rgb_optical'), image(heat, stamp + skew, 'thermal_optical'))


def send_and_wait(rig: Rig, numbers: range, key: str = 'pairs.fused') -> None:
    """Send pairs one after the other, each when the one before has ended as it should."""
    for number in numbers:
        before = rig.count(key)
        send(rig, number)
        rig.until(lambda before=before: rig.count(key) > before)  # type: ignore[misc]


def assert_clean(ending: Ending) -> None:
    assert ending.code == 0, ending.text
    assert 'Traceback' not in ending.text
    assert ending.seconds < 2.0


def assert_balanced(rig: Rig) -> None:
    """Check that every frame and pair of the last diagnostics is accounted for."""
    for source in Source:
        dropped = sum(rig.count(f'{source}.dropped.{reason}') for reason in DropReason)
        assert rig.count(f'{source}.pending') == 0
        used = rig.count(f'{source}.paired') + rig.count(f'{source}.single')
        assert rig.count(f'{source}.received') == used + dropped
    ended = sum(rig.count(f'pairs.{reason}') for reason in PAIR_REASONS)
    assert rig.count('pairs.pending') == 0
    assert rig.count('pairs.made') == rig.count('pairs.fused') + ended
    alone = [
        sum(rig.count(f'singles.{source}.{what}') for source in Source)
        for what in ('made', 'published', 'pending')
    ]
    lost = sum(rig.count(f'singles.{reason}') for reason in PAIR_REASONS)
    assert alone[2] == 0
    assert alone[0] == alone[1] + lost
