"""Maps from the thermal to the RGB frame, against point by point geometry written out anew."""

from __future__ import annotations

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from paif_ros.errors import CalibrationError, ParameterError
from paif_ros.registration.calibration import Calibration, Intrinsics
from paif_ros.registration.registration import (
    Registration,
    extrinsics_warp,
    homography_warp,
    parallax_px,
)

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
RGB = Intrinsics(
    320, 180, ((260.0, 0.0, 158.0), (0.0, 262.0, 91.0), (0.0, 0.0, 1.0)), 'plumb_bob',
    (-0.25, 0.08, 0.001, -0.0015, 0.0),
)  # fmt: skip
FISH = Intrinsics(
    320, 180, ((150.0, 0.0, 158.0), (0.0, 150.0, 91.0), (0.0, 0.0, 1.0)), 'equidistant',
    (-0.02, 0.004, 0.0, 0.0),
)  # fmt: skip
HEAT = Intrinsics(
    80, 60, ((95.0, 0.0, 41.0), (0.0, 94.0, 29.0), (0.0, 0.0, 1.0)), 'plumb_bob',
    (-0.38, 0.15, -0.001, 0.002, 0.0),
)  # fmt: skip


def turned(degrees: float) -> tuple[tuple[float, ...], ...]:
    """A rotation about a slanted axis."""
    matrix = cv2.Rodrigues(np.radians(degrees) * np.array([0.36, 0.8, 0.48]))[0]
    return tuple(tuple(float(value) for value in row) for row in matrix)


def shot(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, size[::-1], np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2.0)


def distorted(x: float, y: float, lens: Intrinsics) -> tuple[float, float]:
    """The formula of the plumb bob model, as written in its documentation."""
    k1, k2, p1, p2, k3 = lens.coefficients
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return u * lens.matrix[0][0] + lens.matrix[0][2], v * lens.matrix[1][1] + lens.matrix[1][2]


def place_of(pixel, lens, rotation, translation, depth):
    """Where the thermal camera sees what an RGB pixel shows at a depth; one pixel, by OpenCV."""
    matrix, coefficients = np.array(lens.matrix), np.array(lens.coefficients)
    column, row = pixel
    pixel = np.array([[[float(column), float(row)]]])
    if lens.model == 'equidistant':
        x, y = cv2.fisheye.undistortPoints(pixel, matrix, coefficients)[0, 0]
    else:
        x, y = cv2.undistortPoints(pixel, matrix, coefficients)[0, 0]
        for _ in range(50):  # five rounds are not enough for OpenCV's own answer
            u, v = distorted(x, y, lens)
            x += (column - u) / matrix[0, 0]
            y += (row - v) / matrix[1, 1]
    point = np.array([x, y, 1.0]) * depth
    there = np.linalg.inv(np.array(rotation)) @ (point - np.array(translation))
    if there[2] <= 0:
        return None
    return distorted(there[0] / there[2], there[1] / there[2], HEAT)


def bilinear(picture: np.ndarray, column: float, row: float) -> float:
    height, width = picture.shape
    column, row = min(max(column, 0), width - 1), min(max(row, 0), height - 1)
    x, y = min(int(column), width - 2), min(int(row), height - 2)
    a, b = column - x, row - y
    p = picture.astype(float)
    top = p[y, x] * (1 - a) + p[y, x + 1] * a
    low = p[y + 1, x] * (1 - a) + p[y + 1, x + 1] * a
    return top * (1 - b) + low * b


@pytest.mark.parametrize('lens', [RGB, FISH], ids=['plumb_bob', 'fisheye'])
@pytest.mark.parametrize('depth', [0.6, 4.0, 1000.0])
@pytest.mark.parametrize('degrees', [0.0, 6.0])
def test_extrinsics_against_every_third_pixel(
    lens: Intrinsics, depth: float, degrees: float
) -> None:
    rotation, translation = turned(degrees), (0.06, -0.02, 0.01)
    warp = extrinsics_warp(
        lens, HEAT, rotation, translation, plane_depth=depth,
        thermal_size=HEAT.size, visible_size=lens.size,
    )  # fmt: skip
    thermal = shot(HEAT.size)
    warped = warp.apply(thermal)
    seen = 0
    for row in range(0, 180, 3):
        for column in range(0, 320, 3):
            place = place_of((column, row), lens, rotation, translation, depth)
            assert place is not None
            u, v = place
            margin = min(u + 0.5, 79.5 - u, v + 0.5, 59.5 - v)
            if abs(margin) < 1e-3:
                continue  # on the border itself rounding decides
            if math.hypot(u - 41, v - 29) > 300:
                continue  # beyond the fold the formula means nothing; another test has it
            inside = margin > 0
            assert bool(warp.valid[row, column]) == inside, (row, column, place)
            if inside:
                seen += 1
                assert abs(float(warped[row, column]) - bilinear(thermal, u, v)) < 3.0
            else:
                assert warped[row, column] == 0
    assert seen > 200
    assert warp.coverage == pytest.approx((warp.valid > 0).mean())


def test_homography_against_every_pixel() -> None:
    matrix = np.array([[2.4, 0.1, 40.0], [-0.08, 2.2, 22.0], [4e-4, -3e-4, 1.0]])
    rows = tuple(map(tuple, matrix.tolist()))
    calibration = Calibration((80, 60), (320, 180), homography=rows)
    warp = homography_warp(calibration, (80, 60), (320, 180))
    thermal = shot((80, 60))
    warped = warp.apply(thermal)
    back = np.linalg.inv(matrix)
    for row in range(180):
        for column in range(320):
            x, y, weight = back @ (column, row, 1.0)
            u, v = x / weight, y / weight
            inside = weight > 0 and -0.5 <= u <= 79.5 and -0.5 <= v <= 59.5
            assert bool(warp.valid[row, column]) == inside
            if inside:
                assert abs(float(warped[row, column]) - bilinear(thermal, u, v)) < 3.0
    assert 0.2 < warp.coverage < 0.9
    assert set(np.unique(warp.valid)) == {0, 255}


def test_equal_pictures_stay_equal() -> None:
    """Also at four times the resolution: the whole RGB picture is seen, up to its border."""
    thermal = shot((80, 60))
    same = Calibration((80, 60), (80, 60), homography=IDENTITY)
    warp = homography_warp(same, (80, 60), (80, 60))
    assert np.array_equal(warp.apply(thermal), thermal)
    assert warp.valid.min() == 255
    large = homography_warp(same, (80, 60), (320, 240))
    assert large.valid.min() == 255
    expected = cv2.resize(thermal, (320, 240), interpolation=cv2.INTER_LINEAR)
    assert np.abs(large.apply(thermal).astype(int) - expected).max() <= 2


def test_there_and_back() -> None:
    matrix = np.array([[1.1, 0.05, 12.0], [-0.04, 1.08, 9.0], [1e-4, 5e-5, 1.0]])
    forth = Calibration((320, 240), (400, 300), homography=tuple(map(tuple, matrix.tolist())))
    inverse = np.linalg.inv(matrix)
    back = Calibration((400, 300), (320, 240), homography=tuple(map(tuple, inverse.tolist())))
    picture = cv2.GaussianBlur(shot((320, 240)), (0, 0), 3.0)
    there = homography_warp(forth, (320, 240), (400, 300)).apply(picture)
    again = homography_warp(back, (400, 300), (320, 240))
    inner = cv2.erode(again.valid, np.ones((25, 25), np.uint8), borderValue=0) > 0
    difference = np.abs(again.apply(there).astype(int) - picture)[inner]
    assert inner.mean() > 0.5
    assert difference.max() <= 3


def test_extrinsics_of_a_plane_are_a_homography() -> None:
    """Without distortion, H = K_rgb (R + t n'/d) K_thermal^-1 in closed form."""
    plain = [Intrinsics(lens.width, lens.height, lens.matrix) for lens in (RGB, HEAT)]
    rotation, translation, depth = turned(3.0), (0.05, 0.01, -0.02), 2.5
    warp = extrinsics_warp(
        *plain, rotation, translation, plane_depth=depth,
        thermal_size=HEAT.size, visible_size=RGB.size,
    )  # fmt: skip
    turn, shift = np.array(rotation), np.array(translation)
    # A thermal ray X = s x meets the plane e3 (R X + t) = d.
    normal = turn[2] / (depth - shift[2])
    matrix = np.array(RGB.matrix) @ (turn + np.outer(shift, normal)) @ np.linalg.inv(HEAT.matrix)
    same = homography_warp(
        Calibration(HEAT.size, RGB.size, homography=tuple(map(tuple, matrix.tolist()))),
        HEAT.size, RGB.size,
    )  # fmt: skip
    thermal = shot(HEAT.size)
    assert np.array_equal(warp.valid, same.valid)
    assert np.abs(warp.apply(thermal).astype(int) - same.apply(thermal)).max() <= 2


def test_binned_pictures_use_the_same_calibration() -> None:
    matrix = ((2.4, 0.1, 40.0), (-0.08, 2.2, 22.0), (4e-4, -3e-4, 1.0))
    calibration = Calibration((80, 60), (320, 180), homography=matrix)
    whole = homography_warp(calibration, (80, 60), (320, 180))
    half = homography_warp(calibration, (80, 60), (160, 90))
    thermal = shot((80, 60))
    expected = cv2.resize(whole.apply(thermal), (160, 90), interpolation=cv2.INTER_AREA)
    inner = cv2.erode(half.valid, np.ones((5, 5), np.uint8), borderValue=0) > 0
    difference = np.abs(half.apply(thermal).astype(int) - expected)[inner]
    assert np.percentile(difference, 99) <= 4
    for thermal_size, visible_size in (((80, 60), (320, 240)), ((64, 64), (320, 180))):
        with pytest.raises(CalibrationError, match='calibrate this size'):
            homography_warp(calibration, thermal_size, visible_size)


def test_rays_beyond_the_lens_do_not_come_back() -> None:
    """A wide RGB camera sees far more than this thermal lens, whose polynomial folds back."""
    heat = Intrinsics(80, 60, HEAT.matrix, 'plumb_bob', (-0.35, 0.0, 0.0, 0.0))
    warp = extrinsics_warp(
        FISH, heat, IDENTITY, (0.0, 0.0, 0.0), plane_depth=5.0,
        thermal_size=(80, 60), visible_size=(320, 180),
    )  # fmt: skip
    count, _ = cv2.connectedComponents(warp.valid)
    assert count == 2, 'one field of view, no ghosts around it'


def test_outside_picture() -> None:
    calibration = Calibration((80, 60), (320, 180), homography=((1, 0, 90), (0, 1, 50), (0, 0, 1)))
    warp = homography_warp(calibration, (80, 60), (320, 180))
    thermal, outside = shot((80, 60), 1), shot((320, 180), 2)
    copy = outside.copy()
    filled = warp.apply(thermal, outside)
    assert np.array_equal(outside, copy)
    assert np.array_equal(filled[50:110, 90:170], thermal)
    assert np.array_equal(filled[warp.valid == 0], outside[warp.valid == 0])
    for frame, fill in (
        (thermal.T, None), (thermal.astype(np.uint16), None), (thermal, outside[:90]),
    ):  # fmt: skip
        with pytest.raises(CalibrationError, match='as the map was made for'):
            warp.apply(np.ascontiguousarray(frame), fill)


def test_parallax_formula_is_what_the_maps_do() -> None:
    """A thing at another depth appears shifted by just as many pixels as parallax_px says."""
    lens = Intrinsics(640, 480, ((500.0, 0, 319.5), (0, 500.0, 239.5), (0, 0, 1)))
    baseline, plane, depth = 0.08, 5.0, 2.0
    warp = extrinsics_warp(
        lens, lens, IDENTITY, (baseline, 0.0, 0.0), plane_depth=plane,
        thermal_size=lens.size, visible_size=lens.size,
    )  # fmt: skip
    thing = np.array([0.3, 0.1, depth])
    column = 500 * thing[0] / depth + 319.5
    seen_at = 500 * (thing[0] - baseline) / depth + 319.5
    row = round(500 * thing[1] / depth + 239.5)
    thermal = np.zeros((480, 640), np.uint8)
    thermal[row, :] = np.clip(255 - 20 * np.abs(np.arange(640) - seen_at), 0, 255)
    line = warp.apply(thermal)[row].astype(float)
    appears = float((line * np.arange(640)).sum() / line.sum())
    assert abs(appears - column) == pytest.approx(
        parallax_px(500.0, baseline, depth, plane), abs=0.05
    )
    assert parallax_px(500.0, 0.08, math.inf, 5.0) == pytest.approx(8.0)
    with pytest.raises(CalibrationError, match='above 0'):
        parallax_px(500.0, 0.08, 0.0, 5.0)


EXTRINSICS = Calibration(
    (80, 60), (320, 180), rotation=IDENTITY, translation=(0.05, 0.0, 0.0), plane_depth=3.0
)


def info(lens: Intrinsics, **changes: object) -> SimpleNamespace:
    return SimpleNamespace(
        **{
            'width': lens.width, 'height': lens.height, 'distortion_model': lens.model,
            'd': list(lens.coefficients), 'k': [v for row in lens.matrix for v in row],
            'binning_x': 0, 'binning_y': 0,
            'roi': SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
            **changes,
        }
    )  # fmt: skip


def test_a_map_is_made_once() -> None:
    registration = Registration('extrinsics', EXTRINSICS)
    infos = (info(RGB), info(HEAT))
    first = registration.warp((80, 60), (320, 180), *infos)
    assert registration.warp((80, 60), (320, 180), info(RGB), info(HEAT)) is first
    moved = registration.warp((80, 60), (320, 180), *infos, plane_depth=1.0)
    assert moved is not first
    assert first is not None
    assert moved is not None
    assert not np.array_equal(moved.valid, first.valid)
    changed = registration.warp((80, 60), (320, 180), info(FISH), info(HEAT), plane_depth=1.0)
    assert changed is not moved
    assert Registration('none', None).warp((80, 60), (320, 180)) is None


def test_the_lens_of_the_file_where_no_driver_says_one() -> None:
    with pytest.raises(CalibrationError, match="'thermal_camera'"):
        Registration('extrinsics', EXTRINSICS).warp((80, 60), (320, 180), info(RGB), None)
    known = Calibration(
        (80, 60), (320, 180), rotation=IDENTITY, translation=(0.05, 0.0, 0.0), plane_depth=3.0,
        visible_camera=RGB, thermal_camera=HEAT,
    )  # fmt: skip
    warps = [
        Registration('extrinsics', known).warp((80, 60), (320, 180), *infos)
        for infos in (
            (None, None),
            (info(RGB), info(HEAT)),
            (info(RGB), info(HEAT, k=[0.0] * 9)),  # uncalibrated, says its driver
        )
    ]
    assert all(warp is not None for warp in warps)
    thermal = shot((80, 60))
    first, *others = (warp.apply(thermal) for warp in warps if warp is not None)
    assert all(np.array_equal(first, other) for other in others)
    with pytest.raises(CalibrationError, match='thermal camera_info d'):
        Registration('extrinsics', known).warp(
            (80, 60), (320, 180), info(RGB), info(HEAT, d=[math.nan] * 5)
        )


def test_what_a_mode_needs() -> None:
    with pytest.raises(ParameterError, match='extrinsics'):
        Registration('magic', EXTRINSICS)
    with pytest.raises(CalibrationError, match=r'set registration\.file'):
        Registration('homography', None)
    with pytest.raises(CalibrationError, match='as mode is homography'):
        Registration('homography', EXTRINSICS)
    deep = Calibration((80, 60), (320, 180), rotation=IDENTITY, translation=(0.0, 0.0, 0.0),
                       visible_camera=RGB, thermal_camera=HEAT)  # fmt: skip
    with pytest.raises(CalibrationError, match=r'registration\.plane_depth'):
        Registration('extrinsics', deep).warp((80, 60), (320, 180))
    with pytest.raises(CalibrationError, match='above 0'):
        Registration('extrinsics', deep).warp((80, 60), (320, 180), plane_depth=-1.0)
