"""The edge agreement that the node watches while it runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from paif_ros.registration.agreement import EVERY_NS, KEPT, Agreement
from paif_ros.registration.edges import MIN_CORRELATION

PAIRS = Path(__file__).parent / 'data' / 'pairs'


def pictures() -> tuple[list[np.ndarray], list[np.ndarray]]:
    names = sorted(path.name for path in (PAIRS / 'vi').iterdir())
    visible = [cv2.imread(str(PAIRS / 'vi' / name))[..., ::-1] for name in names]
    thermal = [cv2.imread(str(PAIRS / 'ir' / name), cv2.IMREAD_GRAYSCALE) for name in names]
    return visible, thermal


def watch(visible: list[np.ndarray], thermal: list[np.ndarray], looks: int) -> Agreement:
    agreement = Agreement()
    for number in range(looks):
        place = number % len(visible)
        agreement.look(visible[place], thermal[place], None, number * EVERY_NS)
    return agreement


def test_registered_pictures_agree_and_turned_ones_do_not() -> None:
    visible, thermal = pictures()
    good = watch(visible, thermal, KEPT).correlation
    bad = watch(visible, [picture[::-1, ::-1] for picture in thermal], KEPT).correlation
    assert good is not None
    assert bad is not None
    assert good > MIN_CORRELATION > bad


def test_it_is_known_after_a_minute_and_costs_nothing_between_two_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visible, thermal = pictures()
    assert watch(visible, thermal, KEPT - 1).correlation is None
    calls: list[int] = []

    def counted(*_: object) -> float:
        calls.append(1)
        return 0.5

    monkeypatch.setattr('paif_ros.registration.agreement.edge_correlation', counted)
    agreement = Agreement()
    for number in range(100):
        agreement.look(visible[0], thermal[0], None, number * EVERY_NS // 10)
    assert len(calls) == 10


def test_blank_pictures_say_nothing() -> None:
    blank = np.full((48, 64, 3), 90, np.uint8)
    assert watch([blank], [blank[..., 0]], 3 * KEPT).correlation is None
