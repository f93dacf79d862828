"""The hot path of one pair with a real engine, without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from messages import message

from paif_ros.engines import make_engine
from paif_ros.errors import EngineError, EngineMismatch, ImageFormatError
from paif_ros.outputs import overlay, palette
from paif_ros.pipeline import Pipeline, Result, Settings, Wanted
from paif_ros.thermal import PercentileRange, to_uint8

SETTINGS = Settings(PercentileRange(1.0, 99.0, 64), 0.5)


def color_message(pixels: np.ndarray) -> Any:
    return message('rgb8', pixels.tobytes(), pixels.shape[0], pixels.shape[1])


def heat_message(pixels: np.ndarray) -> Any:
    encoding = 'mono16' if pixels.dtype == np.uint16 else 'mono8'
    return message(encoding, pixels.tobytes(), pixels.shape[0], pixels.shape[1])


def arrays(size: tuple[int, int], dtype: type = np.uint16) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    top = 60000 if dtype is np.uint16 else 255
    return random.integers(0, 256, (*size, 3), np.uint8), random.integers(0, top, size, dtype)


@pytest.fixture(scope='module')
def pipeline(tiny: Path) -> Pipeline:
    pipeline = Pipeline(make_engine('auto', tiny, threads=1))
    pipeline.load()
    return pipeline


def run(pipeline: Pipeline, color: np.ndarray, heat: np.ndarray, *wanted: bool) -> Result:
    flags = Wanted(*wanted) if wanted else Wanted()
    return pipeline.run(color_message(color), heat_message(heat), flags, SETTINGS)


def test_all_outputs_at_the_models_size(pipeline: Pipeline) -> None:
    color, heat = arrays((48, 64))
    result = run(pipeline, color, heat)
    fused, mask = tiny_model.expected(color, to_uint8(heat, SETTINGS.thermal_range))
    np.testing.assert_array_equal(result.fused, fused)
    np.testing.assert_array_equal(result.mask, mask)
    painted = overlay(fused, mask, palette(tiny_model.CLASSES), 0.5)
    np.testing.assert_array_equal(result.overlay, painted)
    assert min(result.decode, result.inference, result.convert) > 0


def test_eight_bit_thermal_goes_through_unchanged(pipeline: Pipeline) -> None:
    color, heat = arrays((48, 64), np.uint8)
    fused, _ = tiny_model.expected(color, heat)
    np.testing.assert_array_equal(run(pipeline, color, heat).fused, fused)


@pytest.mark.parametrize('camera', [(96, 128), (30, 50), (480, 640), (48, 64)])
@pytest.mark.parametrize('thermal', [(24, 32), (120, 160), (48, 64)])
def test_outputs_have_the_rgb_cameras_size(
    pipeline: Pipeline, camera: tuple[int, int], thermal: tuple[int, int]
) -> None:
    result = run(pipeline, arrays(camera)[0], arrays(thermal)[1])
    assert result.fused is not None
    assert result.mask is not None
    assert result.overlay is not None
    assert result.fused.shape == (*camera, 3)
    assert result.mask.shape == camera
    assert result.overlay.shape == (*camera, 3)


def test_a_hot_corner_stays_in_its_corner(pipeline: Pipeline) -> None:
    color = np.zeros((96, 128, 3), np.uint8)
    heat = np.zeros((24, 32), np.uint8)
    heat[:6, :8] = 254
    mask = run(pipeline, color, heat).mask
    assert mask is not None
    assert (mask[:20, :28] == 2).all()
    assert not mask[30:].any()
    assert not mask[:, 40:].any()


@pytest.mark.parametrize('wanted', [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
def test_only_what_is_wanted_is_made(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, wanted: tuple[bool, bool, bool]
) -> None:
    calls: list[str] = []
    for name in ('resize_picture', 'resize_mask', 'overlay'):
        real = getattr(__import__('paif_ros.pipeline', fromlist=[name]), name)

        def counted(*args: Any, _name: str = name, _real: Any = real) -> Any:
            calls.append(_name)
            return _real(*args)

        monkeypatch.setattr(f'paif_ros.pipeline.{name}', counted)
    result = run(pipeline, *arrays((48, 64)), *wanted)
    made = (result.fused is not None, result.mask is not None, result.overlay is not None)
    assert made == tuple(map(bool, wanted))
    fused, mask, painted = map(bool, wanted)
    assert ('overlay' in calls) == painted
    assert ('resize_picture' in calls) == (fused or painted)
    assert ('resize_mask' in calls) == (mask or painted)


def test_malformed_messages_name_the_camera(pipeline: Pipeline) -> None:
    color, heat = arrays((48, 64))
    good_color, good_heat = color_message(color), heat_message(heat)
    bad_color, bad_heat = color_message(color), heat_message(heat)
    bad_color.step = 5
    bad_heat.encoding = 'jpeg'
    with pytest.raises(ImageFormatError) as caught:
        pipeline.run(bad_color, good_heat, Wanted(), SETTINGS)
    assert caught.value.field == 'visible.step'
    with pytest.raises(ImageFormatError) as caught:
        pipeline.run(good_color, bad_heat, Wanted(), SETTINGS)
    assert caught.value.field == 'thermal.encoding'
    pipeline.run(good_color, good_heat, Wanted(), SETTINGS)


def test_flat_and_extreme_frames(pipeline: Pipeline) -> None:
    for color, heat in ((0, 0), (255, 65535), (128, 30000)):
        frame = np.full((48, 64, 3), color, np.uint8)
        run(pipeline, frame, np.full((48, 64), heat, np.uint16))


def test_load_errors_come_through(tmp_path: Path) -> None:
    with pytest.raises(EngineError):
        Pipeline(make_engine('auto', tmp_path / 'no.onnx')).load()
    with pytest.raises(EngineMismatch):
        Pipeline(make_engine('auto', tiny_model.write(tmp_path / 'm.onnx', metadata={}))).load()
