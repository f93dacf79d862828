"""The hot path of one job with a real engine, without ROS."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_model
from messages import message

from paif_ros.engines import make_engine
from paif_ros.errors import CalibrationError, EngineError, EngineMismatch, ImageFormatError
from paif_ros.fusion.jobs import Capture, Job
from paif_ros.fusion.pipeline import Infos, Pipeline, Settings
from paif_ros.fusion.results import Result, Wanted
from paif_ros.fusion.stand_in import stand_in_thermal, stand_in_visible
from paif_ros.monitoring.accounting import JobKind, Source
from paif_ros.monitoring.statistics import STAGES, Ticket
from paif_ros.parameters import OverlayParameters
from paif_ros.pictures.drawing import color_mask, overlay, palette
from paif_ros.registration.calibration import Calibration
from paif_ros.registration.registration import Registration
from paif_ros.sync.pairing import Frame
from paif_ros.thermal.agc import Agc, ThermalConfig

SETTINGS = Settings(
    ThermalConfig(smoothing=0.0), OverlayParameters(0.5, 'fused', outlines=False, legend=False)
)
ALL = Wanted(**{field.name: True for field in fields(Wanted)})
COLORS = palette(tiny_model.CLASSES)


def color_message(pixels: np.ndarray) -> Any:
    return message('rgb8', pixels.tobytes(), pixels.shape[0], pixels.shape[1])


def heat_message(pixels: np.ndarray) -> Any:
    encoding = 'mono16' if pixels.dtype == np.uint16 else 'mono8'
    return message(encoding, pixels.tobytes(), pixels.shape[0], pixels.shape[1])


def arrays(size: tuple[int, int], dtype: type = np.uint16) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    top = 60000 if dtype is np.uint16 else 255
    return random.integers(0, 256, (*size, 3), np.uint8), random.integers(0, top, size, dtype)


def eight_bit(heat: np.ndarray) -> np.ndarray:
    return Agc().apply(heat, SETTINGS.thermal, 1)


def job(visible: Any | None, thermal: Any | None) -> Job:
    frames = [
        None if sent is None else Frame(source, 1, 1, Capture(sent))
        for source, sent in zip(Source, (visible, thermal), strict=True)
    ]
    return Job(frames[0], frames[1], 2, Ticket(0, JobKind.PAIR))


@pytest.fixture(scope='module')
def pipeline(tiny: Path) -> Pipeline:
    pipeline = Pipeline(make_engine('auto', tiny, threads=1), Registration('none', None))
    pipeline.load()
    return pipeline


def run(
    pipeline: Pipeline,
    color: np.ndarray | None,
    heat: np.ndarray | None,
    wanted: Wanted = ALL,
    settings: Settings = SETTINGS,
) -> Result:
    messages = (
        None if color is None else color_message(color),
        None if heat is None else heat_message(heat),
    )
    return pipeline.run(job(*messages), wanted, settings, Infos())


def test_all_outputs_at_the_models_size(pipeline: Pipeline) -> None:
    color, heat = arrays((48, 64))
    result = run(pipeline, color, heat)
    fused, mask = tiny_model.expected(color, eight_bit(heat))
    np.testing.assert_array_equal(result.fused, fused)
    np.testing.assert_array_equal(result.mask, mask)
    painted = overlay(fused, mask, COLORS, 0.5)
    np.testing.assert_array_equal(result.overlay, painted)
    np.testing.assert_array_equal(result.color_mask, color_mask(mask, COLORS))
    np.testing.assert_array_equal(result.thermal, eight_bit(heat))
    assert result.validity is not None
    assert (result.validity == 255).all()
    assert result.confidence is None, 'this model gives none'
    assert not result.flat
    between = set(STAGES) - {'pairing', 'waiting', 'publish', 'total'}
    assert set(result.times) == between
    assert min(result.times.values()) >= 0


def test_eight_bit_thermal_goes_through_unchanged(pipeline: Pipeline) -> None:
    color, heat = arrays((48, 64), np.uint8)
    fused, _ = tiny_model.expected(color, heat)
    np.testing.assert_array_equal(run(pipeline, color, heat).fused, fused)


@pytest.mark.parametrize('camera', [(96, 128), (30, 50), (480, 640), (48, 64)])
@pytest.mark.parametrize('thermal', [(24, 32), (120, 160), (48, 64)])
@pytest.mark.parametrize('at_model_size', [False, True])
def test_outputs_have_the_rgb_cameras_size_or_the_models(
    pipeline: Pipeline, camera: tuple[int, int], thermal: tuple[int, int], at_model_size: bool
) -> None:
    settings = replace(SETTINGS, at_model_size=at_model_size)
    result = run(pipeline, arrays(camera)[0], arrays(thermal)[1], ALL, settings)
    size = (48, 64) if at_model_size else camera
    assert result.size == size
    for name in (field.name for field in fields(Wanted) if field.name != 'confidence'):
        picture = getattr(result, name)
        assert picture.shape[:2] == size, name
        assert picture.dtype == np.uint8


def test_a_hot_corner_stays_in_its_corner(pipeline: Pipeline) -> None:
    color = np.zeros((96, 128, 3), np.uint8)
    heat = np.zeros((24, 32), np.uint8)
    heat[:6, :8] = 254
    mask = run(pipeline, color, heat).mask
    assert mask is not None
    assert (mask[:20, :28] == 2).all()
    assert not mask[30:].any()
    assert not mask[:, 40:].any()


def test_only_what_is_wanted_is_made(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    names = ('resize_picture', 'resize_mask', 'overlay', 'color_mask')
    for name in names:
        real = getattr(__import__('paif_ros.fusion.results', fromlist=[name]), name)

        def counted(*args: Any, _name: str = name, _real: Any = real, **options: Any) -> Any:
            calls.append(_name)
            return _real(*args, **options)

        monkeypatch.setattr(f'paif_ros.fusion.results.{name}', counted)
    frames = arrays((48, 64))
    for flags in product((False, True), repeat=4):
        calls.clear()
        wanted = dict(zip(('fused', 'mask', 'color_mask', 'overlay'), flags, strict=True))
        result = run(pipeline, *frames, Wanted(**wanted))
        assert {name: getattr(result, name) is not None for name in wanted} == wanted
        assert ('overlay' in calls) == wanted['overlay']
        assert ('color_mask' in calls) == wanted['color_mask']
        assert ('resize_picture' in calls) == (wanted['fused'] or wanted['overlay'])
        masks = wanted['mask'] or wanted['color_mask'] or wanted['overlay']
        assert ('resize_mask' in calls) == masks


def test_the_network_does_not_run_for_the_thermal_picture_alone(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    color, heat = arrays((48, 64))
    monkeypatch.setattr(pipeline._engine, 'infer', lambda *_: pytest.fail('it ran'))
    result = run(pipeline, color, heat, Wanted(thermal=True, validity=True))
    np.testing.assert_array_equal(result.thermal, eight_bit(heat))
    assert result.fused is None


def test_a_missing_camera_is_stood_in_for(pipeline: Pipeline) -> None:
    color, heat = arrays((48, 64), np.uint8)
    alone = run(pipeline, color, None)
    _, mask = tiny_model.expected(color, stand_in_thermal(color))
    np.testing.assert_array_equal(alone.mask, mask)
    np.testing.assert_array_equal(alone.fused, color, 'without thermal it is the RGB picture')
    assert alone.thermal is None
    assert alone.validity is not None
    assert not alone.validity.any()

    alone = run(pipeline, None, heat)
    _, mask = tiny_model.expected(stand_in_visible(heat), heat)
    np.testing.assert_array_equal(alone.fused, np.dstack([heat] * 3))
    np.testing.assert_array_equal(alone.mask, mask)
    np.testing.assert_array_equal(alone.thermal, heat)
    assert alone.validity is not None
    assert alone.validity.all()


def test_registration_moves_the_thermal_picture_and_flags_the_rest(tiny: Path) -> None:
    """The thermal camera sees the middle half of the RGB picture, at half its resolution."""
    shift = ((1.0, 0.0, 16.0), (0.0, 1.0, 12.0), (0.0, 0.0, 1.0))
    calibration = Calibration(thermal_size=(32, 24), visible_size=(64, 48), homography=shift)
    pipeline = Pipeline(
        make_engine('auto', tiny, threads=1), Registration('homography', calibration)
    )
    pipeline.load()
    color, _ = arrays((48, 64))
    heat = np.random.default_rng(1).integers(0, 255, (24, 32), np.uint8)
    result = run(pipeline, color, heat)
    inside = (slice(12, 36), slice(16, 48))
    valid = np.zeros((48, 64), np.uint8)
    valid[inside] = 255
    np.testing.assert_array_equal(result.validity, valid)
    seen = stand_in_thermal(color)
    seen[inside] = heat
    np.testing.assert_array_equal(result.thermal, seen)
    fused, mask = tiny_model.expected(color, seen)
    np.testing.assert_array_equal(result.mask, mask)
    np.testing.assert_array_equal(result.fused, np.where(valid[..., None] > 0, fused, color))
    with pytest.raises(CalibrationError, match='thermal'):
        run(pipeline, color, heat[:20])


def test_the_overlay_as_it_is_asked_for(pipeline: Pipeline) -> None:
    color, heat = arrays((480, 640), np.uint8)
    heat = cv2.GaussianBlur(heat, (0, 0), 20)
    heat = cv2.normalize(heat, None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    mask = run(pipeline, color, heat).mask

    def painted(**style: Any) -> Any:
        values = {'alpha': 0.5, 'source': 'fused', 'outlines': False, 'legend': False, **style}
        return run(
            pipeline, color, heat, ALL, replace(SETTINGS, overlay=OverlayParameters(**values))
        ).overlay

    np.testing.assert_array_equal(painted(source='visible'), overlay(color, mask, COLORS, 0.5))
    np.testing.assert_array_equal(
        painted(source='thermal'), overlay(np.dstack([heat] * 3), mask, COLORS, 0.5)
    )
    assert (painted(outlines=True) != painted()).any()
    assert (painted(legend=True) != painted()).any()
    assert (painted(alpha=1.0) != painted()).any()


def test_a_flat_answer_is_noticed(tmp_path: Path) -> None:
    pipeline = Pipeline(
        make_engine('auto', tiny_model.write(tmp_path / 'nan.onnx', nan=True), threads=1),
        Registration('none', None),
    )
    pipeline.load()
    color, heat = arrays((48, 64), np.uint8)
    assert not run(pipeline, color, heat).flat
    heat[0, 0] = 255  # this makes it answer NaN
    assert run(pipeline, color, heat).flat


def test_malformed_messages_name_the_camera(pipeline: Pipeline) -> None:
    color, heat = arrays((48, 64))
    good_color, good_heat = color_message(color), heat_message(heat)
    bad_color, bad_heat = color_message(color), heat_message(heat)
    bad_color.step = 5
    bad_heat.encoding = 'jpeg'
    for visible, thermal, field in (
        (bad_color, good_heat, 'visible.step'),
        (good_color, bad_heat, 'thermal.encoding'),
    ):
        with pytest.raises(ImageFormatError) as caught:
            pipeline.run(job(visible, thermal), ALL, SETTINGS, Infos())
        assert caught.value.field == field
    pipeline.run(job(good_color, good_heat), ALL, SETTINGS, Infos())


def test_flat_and_extreme_frames(pipeline: Pipeline) -> None:
    for color, heat in ((0, 0), (255, 65535), (128, 30000)):
        frame = np.full((48, 64, 3), color, np.uint8)
        run(pipeline, frame, np.full((48, 64), heat, np.uint16))


def test_load_errors_come_through(tmp_path: Path) -> None:
    wrong = tiny_model.write(tmp_path / 'm.onnx', metadata={})
    for error, path in ((EngineError, tmp_path / 'no.onnx'), (EngineMismatch, wrong)):
        with pytest.raises(error):
            Pipeline(make_engine('auto', path), Registration('none', None)).load()
