"""camera_info of a resized picture: still true for every point of the scene."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest

from paif_ros.pictures.camera_info import scale_camera_info

K = [600.0, 1.5, 322.0, 0.0, 605.0, 239.0, 0.0, 0.0, 1.0]
P = [590.0, 0.0, 320.0, -45.0, 0.0, 595.0, 240.0, 3.0, 0.0, 0.0, 1.0, 0.5]


def make_info(**fields: object) -> SimpleNamespace:
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    whole = {
        'header': 'header',
        'width': 640,
        'height': 480,
        'distortion_model': 'plumb_bob',
        'd': [0.1, -0.2, 0.001, 0.002, 0.3],
        'k': K,
        'r': list(np.eye(3).ravel()),
        'p': P,
        'binning_x': 0,
        'binning_y': 0,
        'roi': roi,
        **fields,
    }
    return SimpleNamespace(**whole)


@pytest.mark.parametrize('size', [(640, 480), (320, 240), (1280, 720), (641, 3)])
def test_a_point_lands_on_the_same_part_of_the_picture(size: tuple[int, int]) -> None:
    info = make_info()
    before = copy.deepcopy(info)
    scaled = scale_camera_info(info, *size)
    assert info == before
    assert (scaled.width, scaled.height) == size
    for name in ('header', 'd', 'r', 'distortion_model', 'binning_x', 'binning_y', 'roi'):
        assert getattr(scaled, name) == getattr(info, name), name
    points = np.random.default_rng(0).uniform((-1, -1, 2, 1), (1, 1, 9, 1), (50, 4)).T
    factor = np.divide(size, (640, 480))[:, None]
    for name, shape in (('k', (3, 3)), ('p', (3, 4))):
        old, new = (
            np.reshape(getattr(which, name), shape) @ points[: shape[1]]
            for which in (info, scaled)
        )
        np.testing.assert_allclose(new[:2] / new[2], old[:2] / old[2] * factor)


def test_the_same_size_changes_nothing() -> None:
    info = make_info(binning_x=2, binning_y=2, width=1280, height=960)
    assert scale_camera_info(info, 640, 480) == info


def test_region_of_interest_and_binning_keep_their_rules() -> None:
    """K belongs to the whole sensor, the picture is roi / binning of it."""
    roi = SimpleNamespace(x_offset=320, y_offset=80, width=640, height=800, do_rectify=True)
    info = make_info(width=1280, height=960, binning_x=2, binning_y=4, roi=roi)
    scaled = scale_camera_info(info, 160, 100)  # of 320 x 200
    assert (scaled.width, scaled.height) == (640, 480)
    assert vars(scaled.roi) == {
        'x_offset': 160,
        'y_offset': 40,
        'width': 320,
        'height': 400,
        'do_rectify': True,
    }
    assert (scaled.roi.width // scaled.binning_x, scaled.roi.height // scaled.binning_y) == (
        160,
        100,
    )
    np.testing.assert_allclose(scaled.k[:6], np.array(K[:6]) / 2)
    assert roi.width == 640  # the original is left alone


@pytest.mark.parametrize('lacking', ['width', 'height'])
def test_without_a_size_it_is_uncalibrated(lacking: str) -> None:
    scaled = scale_camera_info(make_info(**{lacking: 0}), 320, 240)
    assert (scaled.width, scaled.height) == (320, 240)
    assert not any(scaled.k)
    assert not any(scaled.p)


def test_an_uncalibrated_camera_stays_one() -> None:
    scaled = scale_camera_info(make_info(k=[0.0] * 9, p=[0.0] * 12), 320, 240)
    assert (scaled.width, scaled.height) == (320, 240)
    assert not any(scaled.k)


def test_real_message() -> None:
    messages = pytest.importorskip('sensor_msgs.msg', reason='needs ROS 2')
    info = messages.CameraInfo(width=640, height=480, k=K, p=P, d=[0.1] * 5)
    info.header.frame_id = 'camera'
    scaled = scale_camera_info(info, 320, 120)
    assert (scaled.width, scaled.height, scaled.header.frame_id) == (320, 120, 'camera')
    assert list(scaled.k) == [300.0, 0.75, 161.0, 0.0, 151.25, 59.75, 0.0, 0.0, 1.0]
    assert list(info.k) == K
    assert list(info.p) == P
    assert info.roi.width == 0
