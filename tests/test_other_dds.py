"""The node among another DDS implementation's cameras and listeners: Eclipse Cyclone DDS."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')
if int(version('rclpy').split('.')[0]) >= 9:
    pytest.skip(
        'Fast DDS 3 (Kilted) sends a type object that Cyclone DDS 11.0.1 rejects',
        allow_module_level=True,
    )
pytest.importorskip('cyclonedds', reason='needs cyclonedds (requirements/jazzy-test.txt)')

from other_dds import (
    LOCAL,
    CameraInfo,
    CompressedImage,
    Header,
    Image,
    Participant,
    RegionOfInterest,
    Time,
)
from ros_checks import PERIOD, START, assert_balanced, assert_clean, camera_pair
from ros_rig import Rig, environment

from paif_ros.images import compressed
from paif_ros.thermal.agc import Agc, ThermalConfig

PAIRS = 20
INFO, FUSED, MASK = 'fusion/fused/camera_info', 'fusion/fused/image', 'fusion/segmentation/mask'
SMALL_MASK = f'{MASK}/compressed'
OUTPUTS: dict[str, type] = {
    FUSED: Image,
    MASK: Image,
    SMALL_MASK: CompressedImage,
    INFO: CameraInfo,
}
RAW: dict[str, type] = {
    'color/image_raw': Image,
    'thermal/image_raw': Image,
    'color/camera_info': CameraInfo,
}
K, P = [float(n) for n in range(9)], [float(n) for n in range(20, 32)]


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setenv('CYCLONEDDS_URI', LOCAL)
    return int(environment()['ROS_DOMAIN_ID'])


def header(number: int) -> Header:
    return Header(Time(*divmod(START + number * PERIOD, 10**9)), 'other_optical')


def image(pixels: np.ndarray, encoding: str, number: int) -> Image:
    height, width = pixels.shape[:2]
    data = list(pixels.tobytes())
    return Image(header(number), height, width, encoding, 0, pixels[0].nbytes, data)


def info(number: int, height: int, width: int) -> CameraInfo:
    region = RegionOfInterest(0, 0, 0, 0, False)
    coefficients = [0.1, 0.2, 0.3, 0.4, 0.5]
    return CameraInfo(
        header(number), height, width, 'plumb_bob', coefficients, K, K, P, 0, 0, region
    )


def only_the_others_cameras(rig: Rig) -> None:
    for publisher in (rig.visible, rig.thermal, rig.info):
        rig.node.destroy_publisher(publisher)


def pixels_of(sample: Image) -> np.ndarray:
    shape = (sample.height, sample.width, *((3,) if sample.encoding == 'rgb8' else ()))
    return np.array(sample.data, np.uint8).reshape(shape)


def numbered(samples: list[Any]) -> dict[int, Any]:
    """Return samples by the number of their pair, which their stamps tell."""
    stamps = [one.header.stamp for one in samples]
    return {
        (stamp.sec * 10**9 + stamp.nanosec - START) // PERIOD: one
        for stamp, one in zip(stamps, samples, strict=True)
    }


@pytest.mark.parametrize('reliable', [True, False])
def test_images_go_both_ways(tiny: Path, domain: int, reliable: bool) -> None:
    """Every pixel of what Cyclone DDS receives is what the model makes of what it sent."""
    with Rig(tiny, listen=(), thermal__smoothing=0.0) as rig:
        only_the_others_cameras(rig)
        other = Participant(domain, RAW, OUTPUTS, reliable)
        offered = 'subscribed with reliable'  # said when the node follows the offer
        rig.until(
            other.after_taking(
                lambda: other.matched() and (not reliable or rig.text().count(offered) == 2)
            ),
            15.0,
        )
        rig.spin(0.5)
        expected = {}
        for number in range(PAIRS):
            color, heat = camera_pair(number)
            grey = Agc().apply(heat, ThermalConfig(smoothing=0.0), 1)
            expected[number] = tiny_model.expected(color, grey)
            other.send('color/camera_info', info(number, *heat.shape))
            other.send('color/image_raw', image(color, 'rgb8', number))
            other.send('thermal/image_raw', image(heat, 'mono16', number))
            rig.spin(0.02)
            other.take()
            if reliable:
                rig.until(
                    other.after_taking(
                        lambda n=number: all(len(got) > n for got in other.got.values())
                    )
                )
        rig.spin(0.5)
        other.take()
        assert_clean(rig.stop())
        assert_balanced(rig)
        found = {name: numbered(samples) for name, samples in other.got.items()}
        assert len(found[FUSED]) == rig.count('pairs.fused')
        assert len(found[FUSED]) == PAIRS if reliable else len(found[FUSED]) > PAIRS // 2
        for number, answer in found[FUSED].items():
            fused, mask = expected[number]
            np.testing.assert_array_equal(pixels_of(answer), fused)
            np.testing.assert_array_equal(pixels_of(found[MASK][number]), mask)
            small = found[SMALL_MASK][number]
            small.data = bytes(small.data)
            np.testing.assert_array_equal(compressed.decode_thermal(small), mask)
            beside = found[INFO][number]
            for each in (answer, found[MASK][number], small, beside):
                assert each.header == header(number)
            assert (beside.height, beside.width, beside.distortion_model) == (48, 64, 'plumb_bob')
            assert (list(beside.k), list(beside.p)) == (K, P)
