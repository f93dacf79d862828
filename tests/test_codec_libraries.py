"""Encodings that the codec leaves to cv_bridge or rosbags-image."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from messages import message

from paif_ros import codec
from paif_ros.codec import decode_thermal, decode_visible
from paif_ros.errors import ImageFormatError


def tiled(tile, height=6, width=6):
    """Return a Bayer mosaic of a scene of one colour: red 200, green 100, blue 50."""
    level = {'r': 200, 'g': 100, 'b': 50}
    square = np.array([level[c] for c in tile], np.uint8).reshape(2, 2)
    return np.tile(square, (height // 2, width // 2))


class TestRareEncodings:
    @pytest.fixture(autouse=True)
    def _library(self):
        pytest.importorskip('rosbags.image', reason='rosbags-image is not installed')

    @pytest.mark.parametrize('tile', ['rggb', 'bggr', 'gbrg', 'grbg'])
    def test_bayer(self, tile):
        mosaic = np.pad(tiled(tile), ((0, 0), (0, 4)))  # with padding, which the library ignores
        pixels = decode_visible(message(f'bayer_{tile}8', mosaic.tobytes(), 6, 6, step=10))
        assert pixels.shape == (6, 6, 3)
        assert pixels[2:4, 2:4].reshape(-1, 3).tolist() == [[200, 100, 50]] * 4

    @pytest.mark.parametrize('is_bigendian', [0, 1])
    def test_16_bit_bayer_in_both_byte_orders(self, is_bigendian):
        mosaic = (tiled('rggb').astype(np.uint16) * 257).astype('>u2' if is_bigendian else '<u2')
        image = message('bayer_rggb16', mosaic.tobytes(), 6, 6, is_bigendian=is_bigendian)
        np.testing.assert_allclose(decode_visible(image)[2:4, 2:4].reshape(-1, 3),
                                   [[200, 100, 50]] * 4, atol=1)  # fmt: skip

    @pytest.mark.parametrize('encoding', ['uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2'])
    def test_yuv_grey(self, encoding):
        # Luma 128 of the range 16 to 235 is (128 - 16) * 255 / 219 = 130.
        pair = (128, 128, 128, 128)
        pixels = decode_visible(message(encoding, bytes(pair) * 2, 2, 2))
        np.testing.assert_allclose(pixels, np.full((2, 2, 3), 130), atol=1)

    @pytest.mark.parametrize('is_bigendian', [0, 1])
    def test_16_bit_colour(self, is_bigendian):
        data = np.array([65535, 0, 257 * 100] * 2, '>u2' if is_bigendian else '<u2').tobytes()
        pixels = decode_visible(message('rgb16', data, is_bigendian=is_bigendian))
        np.testing.assert_allclose(pixels, [[[255, 0, 100]] * 2], atol=1)

    def test_false_colour_thermal_becomes_luma(self):
        data = bytes((255, 255, 255, 255, 0, 0))
        np.testing.assert_allclose(decode_thermal(message('rgb8', data)), [[255, 76]], atol=1)


def test_missing_libraries_are_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(codec, 'import_module', absent)
    with pytest.raises(ImageFormatError, match=r'cv_bridge.*rosbags-image'):
        decode_visible(message('bayer_rggb8', bytes(4), 2, 2))


def bridge(convert):
    """Return a stand-in for the module cv_bridge."""
    module = ModuleType('cv_bridge')
    module.CvBridge = lambda: SimpleNamespace(imgmsg_to_cv2=convert)
    return module


def test_cv_bridge_gets_packed_rows_in_native_order(monkeypatch):
    seen = []

    def convert(image, target):
        seen.append((image, target))
        return np.zeros((image.height, image.width, 3), np.uint8)

    monkeypatch.setitem(sys.modules, 'cv_bridge', bridge(convert))
    big = np.array([[1, 2, 99], [3, 4, 99]], '>u2').tobytes()
    decode_visible(message('mono16', big, 2, 2, is_bigendian=1))
    image, target = seen[0]
    assert (target, image.step, image.is_bigendian) == ('rgb8', 4, int(sys.byteorder == 'big'))
    assert np.frombuffer(image.data, np.uint16).tolist() == [1, 2, 3, 4]


FAILURES = ['raise', None, np.zeros((2, 2)), np.zeros((3, 2, 3), np.uint8)]


def failing(answer):
    """Return a converter that raises or gives a wrong answer."""

    def convert(image, target):
        if isinstance(answer, str):
            raise SystemError(target)
        return answer

    return convert


@pytest.mark.parametrize('answer', FAILURES)
def test_the_next_library_helps_out(monkeypatch, answer):
    pytest.importorskip('rosbags.image', reason='rosbags-image is not installed')
    monkeypatch.setitem(sys.modules, 'cv_bridge', bridge(failing(answer)))
    pixels = decode_visible(message('bayer_rggb8', tiled('rggb').tobytes(), 6, 6))
    assert pixels[2, 2].tolist() == [200, 100, 50]


@pytest.mark.parametrize('answer', FAILURES)
def test_failing_libraries_are_a_format_error(monkeypatch, answer):
    monkeypatch.setattr(codec, '_libraries', lambda: [failing(answer)])
    with pytest.raises(ImageFormatError, match="'bayer_rggb8', expected one that is convertible"):
        decode_visible(message('bayer_rggb8', bytes(4), 2, 2))


def test_a_library_that_breaks_on_import_is_passed_over(monkeypatch):
    broken = ModuleType('cv_bridge')  # has no CvBridge
    monkeypatch.setitem(sys.modules, 'cv_bridge', broken)
    assert len(list(codec._libraries())) in (0, 1)
