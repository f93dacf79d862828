"""The node's modes on a real ROS 2 graph: pairing, registration, transports, every output."""

from __future__ import annotations

import array
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_model

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

from rcl_interfaces.srv import GetParameters
from ros_checks import PERIOD, SIZE, START, assert_balanced, assert_clean, camera_pair
from ros_rig import Rig, image, pixels_of
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from paif_ros.fusion.stand_in import stand_in_thermal
from paif_ros.pictures.drawing import color_mask, palette
from paif_ros.registration.calibration import Calibration, save

MS = 10**6


def listen(rig: Rig, topic: str, kind: type = Image) -> list[Any]:
    """Subscribe to one more output; returns the list that fills."""
    got: list[Any] = []
    rig.node.create_subscription(kind, f'/fusion/{topic}', got.append, 10)
    rig.until(lambda: rig.node.count_publishers(f'/fusion/{topic}') > 0)
    rig.spin(0.3)
    return got


def frames(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A pair whose thermal frame is 8 bit, so that what the network saw is known."""
    color, heat = camera_pair(number)
    return color, (heat >> 8).astype(np.uint8)


def stamp_of(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def test_hold_thermal_gives_each_rgb_frame_the_last_thermal_one(tiny: Path) -> None:
    """30 Hz RGB and 10 Hz thermal: every RGB frame is fused; none once the thermal is too old."""
    options = {'sync__mode': 'hold_thermal', 'sync__max_age': 0.25, 'sync__timeout': 60.0}
    with Rig(tiny, listen=('fused', 'mask'), **options) as rig:
        thermal = [frames(100 + number)[1] for number in range(4)]
        for number in range(12):
            if number % 3 == 0:
                stamp = START + number * PERIOD - 2 * MS
                rig.thermal.publish(image(thermal[number // 3], stamp, 'thermal'))
                rig.until(lambda n=number: rig.count('thermal.received') == n // 3 + 1)
            color, _ = frames(number)
            rig.visible.publish(image(color, START + number * PERIOD, 'rgb'))
            rig.until(lambda n=number: len(rig.got['fused']) == n + 1)
            expected = tiny_model.expected(color, thermal[number // 3])
            np.testing.assert_array_equal(pixels_of(rig.got['fused'][number]), expected[0])
        rig.visible.publish(image(frames(0)[0], START + 30 * PERIOD, 'rgb'))
        rig.until(lambda: rig.count('visible.dropped.no_partner') == 1)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert rig.count('thermal.reused') == 8
        assert rig.count('pairs.fused') == 12
        assert len({stamp_of(message) for message in rig.got['fused']}) == 12
        assert rig.values()['sync.mode'] == 'hold_thermal'


def test_exact_takes_equal_stamps_only(tiny: Path) -> None:
    with Rig(tiny, listen=('mask',), sync__mode='exact', sync__slop=0.5) as rig:
        for number, skew in enumerate((0, 1, 0, -1, 0)):
            color, heat = frames(number)
            stamp = START + number * PERIOD
            rig.visible.publish(image(color, stamp, 'rgb'))
            rig.thermal.publish(image(heat, stamp + skew, 'thermal'))
            rig.spin(0.1)
        rig.until(lambda: len(rig.got['mask']) == 3)
        assert_clean(rig.stop())
        assert_balanced(rig)
        assert rig.count('pairs.made') == 3
        assert rig.count('thermal.dropped.no_partner') + rig.count('thermal.dropped.shutdown') == 2


def test_a_constant_clock_difference(tiny: Path) -> None:
    """Pairs are found, and the outputs still carry the stamps of the RGB camera."""
    with Rig(tiny, listen=('mask',), sync__thermal_offset=0.3) as rig:
        for number in range(5):
            color, heat = frames(number)
            stamp = START + number * PERIOD
            rig.send(image(color, stamp, 'rgb'), image(heat, stamp - 300 * MS, 'thermal'))
            rig.until(lambda n=number: len(rig.got['mask']) == n + 1)
        assert [stamp_of(message) for message in rig.got['mask']] == [
            START + number * PERIOD for number in range(5)
        ]
        assert_clean(rig.stop())
        assert_balanced(rig)
        assert rig.values()['skew.p50_ms'] == '0.000'


def registered(rig: Rig, color: np.ndarray, heat: np.ndarray, inside: Any) -> None:
    """Send a pair and check what comes back, the thermal camera seeing `inside` only."""
    outputs = {name: listen(rig, name) for name in ('validity', 'thermal/image', 'fused/image')}
    rig.send(image(color, START, 'rgb'), image(heat, START, 'thermal'))
    rig.until(lambda: all(outputs.values()))
    got = {name: pixels_of(messages[0]) for name, messages in outputs.items()}
    valid = np.zeros(SIZE, np.uint8)
    valid[inside] = 255
    seen = stand_in_thermal(color)
    seen[inside] = heat
    np.testing.assert_array_equal(got['validity'], valid)
    np.testing.assert_array_equal(got['thermal/image'], seen)
    fused, _ = tiny_model.expected(color, seen)
    np.testing.assert_array_equal(got['fused/image'], np.where(valid[..., None], fused, color))
    assert outputs['validity'][0].header == outputs['fused/image'][0].header


def test_a_homography_from_a_file(tiny: Path, tmp_path: Path) -> None:
    """The thermal camera sees the middle of the RGB picture at its resolution."""
    shift = ((1.0, 0.0, 16.0), (0.0, 1.0, 12.0), (0.0, 0.0, 1.0))
    calibration = Calibration(thermal_size=(32, 24), visible_size=(64, 48), homography=shift)
    save(calibration, tmp_path / 'c.yaml')
    options = {'registration__mode': 'homography', 'registration__file': tmp_path / 'c.yaml'}
    with Rig(tiny, listen=(), **options) as rig:
        color, heat = frames(0)
        registered(rig, color, heat[:24, :32], (slice(12, 36), slice(16, 48)))
        assert rig.values()['registration.mode'] == 'homography'
        rig.send(image(color, START + PERIOD, 'rgb'), image(heat[:20], START + PERIOD, 't'))
        rig.until(lambda: rig.count('pairs.unregistered') == 1)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert 'calibration' in ending.text


def test_extrinsics_from_both_camera_infos(tiny: Path, tmp_path: Path) -> None:
    """Same lens, the thermal camera 0.1 m to the right: at 5 m that is 2 pixels of 100 px focus.

    Its picture has half the size, around the same optical axis.
    """
    identity = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    calibration = Calibration(
        thermal_size=(32, 24),
        visible_size=(64, 48),
        rotation=identity,
        translation=(0.1, 0.0, 0.0),
        plane_depth=5.0,
    )
    save(calibration, tmp_path / 'c.yaml')

    def lens(width: int, height: int, x: float, y: float) -> CameraInfo:
        info = CameraInfo(width=width, height=height, distortion_model='plumb_bob')
        info.d = [0.0] * 5
        info.k = [100.0, 0.0, x, 0.0, 100.0, y, 0.0, 0.0, 1.0]
        info.p = [100.0, 0.0, x, 0.0, 0.0, 100.0, y, 0.0, 0.0, 0.0, 1.0, 0.0]
        return info

    options = {'registration__mode': 'extrinsics', 'registration__file': tmp_path / 'c.yaml'}
    with Rig(tiny, listen=(), **options) as rig:
        thermal_info = rig.node.create_publisher(CameraInfo, 'thermal/camera_info', 10)
        rig.until(lambda: thermal_info.get_subscription_count() > 0)
        color, heat = frames(0)
        outputs = listen(rig, 'validity')
        rig.send(image(color, START, 'rgb'), image(heat[:24, :32], START, 'thermal'))
        rig.until(lambda: rig.count('pairs.unregistered') == 1)  # no lens is known yet
        for _ in range(3):
            rig.info.publish(lens(64, 48, 31.5, 23.5))
            thermal_info.publish(lens(32, 24, 15.5, 11.5))
            rig.spin(0.2)
        stamp = START + PERIOD
        rig.visible.publish(image(color, stamp, 'rgb'))
        rig.thermal.publish(image(heat[:24, :32], stamp, 'thermal'))
        rig.until(lambda: len(outputs) == 1)
        valid = np.zeros(SIZE, np.uint8)
        valid[12:36, 18:50] = 255  # 2 pixels to the right of the middle
        np.testing.assert_array_equal(pixels_of(outputs[0]), valid)
        assert_clean(rig.stop())
        assert_balanced(rig)


def test_compressed_in_and_out(tiny: Path) -> None:
    options = {'input__color_transport': 'compressed', 'input__thermal_transport': 'compressed'}
    with Rig(tiny, listen=('mask',), raw=False, **options) as rig:
        senders = {
            name: rig.node.create_publisher(CompressedImage, f'{name}/image_raw/compressed', 5)
            for name in ('color', 'thermal')
        }
        rig.until(lambda: all(s.get_subscription_count() for s in senders.values()))
        got = {
            name: listen(rig, f'{name}/compressed', CompressedImage)
            for name in ('fused/image', 'segmentation/mask', 'segmentation/overlay')
        }
        color, heat = frames(0)
        color = cv2.GaussianBlur(color, (0, 0), 5)

        def packed(pixels: np.ndarray, kind: str, text: str) -> CompressedImage:
            message = CompressedImage(format=text)
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(START, 10**9)
            message.header.frame_id = 'camera'
            ok, data = cv2.imencode(kind, pixels)
            assert ok
            message.data = array.array('B', data.tobytes())
            return message

        wide = heat.astype(np.uint16) * 257
        senders['color'].publish(packed(color[..., ::-1], '.png', 'rgb8; png compressed bgr8'))
        senders['thermal'].publish(packed(wide, '.png', 'mono16; png compressed '))
        rig.until(lambda: all(got.values()) and bool(rig.got['mask']))
        mask = pixels_of(rig.got['mask'][0])
        sent = got['segmentation/mask'][0]
        assert 'png' in sent.format
        np.testing.assert_array_equal(
            cv2.imdecode(np.frombuffer(sent.data, np.uint8), cv2.IMREAD_UNCHANGED), mask
        )
        sent = got['fused/image'][0]
        assert 'jpeg' in sent.format
        assert sent.header == rig.got['mask'][0].header
        decoded = cv2.imdecode(np.frombuffer(sent.data, np.uint8), cv2.IMREAD_COLOR)
        assert decoded.shape == (*SIZE, 3)
        assert_clean(rig.stop())
        assert_balanced(rig)


@pytest.fixture
def sure(tmp_path: Path) -> Path:
    """A model with the optional third output."""
    return tiny_model.write(tmp_path / 'sure.onnx', confidence=True)


def test_every_output_and_what_the_classes_are(sure: Path) -> None:
    with Rig(sure) as rig:
        names = ('color_mask', 'confidence')
        got = {name: listen(rig, f'segmentation/{name}') for name in names}
        ask = rig.node.create_client(GetParameters, '/fusion/get_parameters')
        rig.until(ask.service_is_ready)
        future = ask.call_async(GetParameters.Request(names=['classes']))
        rig.until(future.done)
        told = json.loads(future.result().values[0].string_value)
        assert told == [
            {**asdict(label), 'color': list(label.color)} for label in tiny_model.CLASSES
        ]
        color, heat = frames(0)
        rig.send(image(color, START, 'rgb'), image(heat, START, 'thermal'))
        rig.until(lambda: all(got.values()) and bool(rig.got['mask']))
        mask = pixels_of(rig.got['mask'][0])
        np.testing.assert_array_equal(
            pixels_of(got['color_mask'][0]), color_mask(mask, palette(tiny_model.CLASSES))
        )
        np.testing.assert_array_equal(pixels_of(got['confidence'][0]), heat)
        for messages in got.values():
            assert messages[0].header == rig.got['mask'][0].header
        assert_clean(rig.stop())
        assert_balanced(rig)


def test_outputs_at_the_models_size_with_their_camera_info(tiny: Path) -> None:
    with Rig(tiny, output__size='model') as rig:
        color, heat = camera_pair(0, (96, 128))
        info = CameraInfo(width=128, height=96)
        info.k = [80.0, 0.0, 63.5, 0.0, 80.0, 47.5, 0.0, 0.0, 1.0]
        visible = image(color, START, 'rgb')
        info.header = visible.header
        rig.info.publish(info)
        rig.spin(0.2)
        rig.visible.publish(visible)
        rig.thermal.publish(image(heat, START, 'thermal'))
        rig.until(lambda: all(rig.got[name] for name in ('fused', 'mask', 'overlay', 'info')))
        for name in ('fused', 'mask', 'overlay', 'info'):
            assert (rig.got[name][0].height, rig.got[name][0].width) == (48, 64), name
        assert list(rig.got['info'][0].k)[:5] == [40.0, 0.0, 31.75, 0.0, 40.0]
        assert_clean(rig.stop())


def test_temperatures(tiny: Path) -> None:
    """32FC1 in degrees with a fixed range: 20 is black, 45.5 is white."""
    options = {'thermal__agc': 'fixed', 'thermal__range_min': 20.0, 'thermal__range_max': 45.5}
    with Rig(tiny, listen=('mask',), **options) as rig:
        got = listen(rig, 'thermal/image')
        color, _ = frames(0)
        degrees = np.linspace(10.0, 60.0, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE)
        degrees[0, 0] = np.nan
        message = image(color, START, 'thermal')
        message.encoding, message.step = '32FC1', SIZE[1] * 4
        message.data = array.array('B', degrees.tobytes())
        rig.send(image(color, START, 'rgb'), message)
        rig.until(lambda: bool(got))
        seen = pixels_of(got[0]).astype(float)
        expected = np.clip((degrees - 20.0) * 10.0, 0.0, 255.0)
        assert np.nanmax(np.abs(seen - expected)) <= 1.0
        rig.until(lambda: rig.values()['thermal.agc.unit'] == 'degrees')
        values = rig.values()
        assert (values['thermal.agc.low'], values['thermal.agc.high']) == ('20.00', '45.50')
        assert_clean(rig.stop())


def test_a_false_colour_camera_is_named_once(tiny: Path) -> None:
    with Rig(tiny, listen=('mask',)) as rig:
        for number in range(3):
            color, _ = frames(number)
            stamp = START + number * PERIOD
            rig.send(image(color, stamp, 'rgb'), image(color, stamp, 'thermal'))
            rig.until(lambda n=number: len(rig.got['mask']) == n + 1)
        ending = rig.stop()
        assert_clean(ending)
        assert_balanced(rig)
        assert ending.text.count('sends a coloured picture (64x48 rgb8)') == 1
