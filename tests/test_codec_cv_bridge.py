"""Every encoding gives what cv_bridge documents, computed here without OpenCV.

cv_bridge is no Python package that pip could install, so its rules are written down as plain numpy
arithmetic (`cv_bridge.cpp`: toCvCopyImpl and getConversionCodes; sensor_msgs/image_encodings.h).
rosbags-image follows the same table of colour codes but cuts where cv_bridge rounds.
"""

from __future__ import annotations

import numpy as np
import pytest
from messages import message

from paif_ros.errors import ImageFormatError
from paif_ros.images.codec import decode_thermal, decode_visible, is_false_colour
from paif_ros.images.encodings import LAYOUTS

HEIGHT, WIDTH = 26, 38
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
# Where a channel of each byte order is found.
ORDERS = {'rgb': (0, 1, 2), 'bgr': (2, 1, 0), 'rgba': (0, 1, 2), 'bgra': (2, 1, 0)}
COLOURS = [f'{order}{bits}' for order in ORDERS for bits in (8, 16)]
BAYER = [f'bayer_{t}{bits}' for t in ('rggb', 'bggr', 'gbrg', 'grbg') for bits in (8, 16)]
YUV = {'uyvy': (1, 0), 'yuv422': (1, 0), 'yuyv': (0, 1), 'yuv422_yuy2': (0, 1)}  # luma, chroma
GREYS = ['mono8', '8UC1', 'mono16', '16UC1', '32FC1']


def test_every_encoding_is_in_a_test_here():
    assert set(LAYOUTS) == {*COLOURS, *BAYER, *YUV, *GREYS}


def samples(encoding, *, seed=5):
    """Draw an array as the encoding lays it out."""
    layout = LAYOUTS[encoding]
    shape = (HEIGHT, WIDTH, layout.channels) if layout.channels > 1 else (HEIGHT, WIDTH)
    rng = np.random.default_rng(seed)
    if layout.sample == 'f4':
        return rng.normal(20.0, 30.0, shape).astype(np.float32)
    return rng.integers(0, 256**layout.size, shape).astype(f'u{layout.size}')


def image_of(array, encoding, *, big=0, padding=0):
    """Lay an array out as a message, with every row followed by `padding` samples."""
    rows = array.reshape(HEIGHT, -1).astype(array.dtype.newbyteorder('>' if big else '<'))
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return message(encoding, rows.tobytes(), HEIGHT, WIDTH, is_bigendian=big)


def to_8_bit(values):
    """255 / 65535, rounded: convertTo(CV_8U, 255. / 65535.). No tie is possible, 257 being odd."""
    return values if values.dtype == np.uint8 else ((values.astype(np.int64) + 128) // 257)


@pytest.mark.parametrize('layout', [(0, 0), (1, 0), (0, 2), (1, 3)], ids=str)
@pytest.mark.parametrize('encoding', COLOURS)
def test_colour_orders(encoding, layout):
    big, padding = layout
    stored = samples(encoding)
    image = image_of(stored, encoding, big=big, padding=padding)
    rgb = stored[..., ORDERS[encoding.rstrip('0123456789')]]
    np.testing.assert_array_equal(decode_visible(image), to_8_bit(rgb))
    # OpenCV weighs in fixed point; no sum is further from the true one than a rounding.
    luma = (rgb @ LUMA) / (257 if encoding.endswith('16') else 1)
    np.testing.assert_allclose(decode_thermal(image), luma, atol=0.52)
    assert is_false_colour(encoding)


@pytest.mark.parametrize('encoding', ['mono8', '8UC1', 'mono16'])
def test_grey_is_repeated(encoding):
    stored = samples(encoding)
    expected = np.repeat(to_8_bit(stored)[..., None], 3, axis=2)
    np.testing.assert_array_equal(decode_visible(image_of(stored, encoding)), expected)


@pytest.mark.parametrize('encoding', ['16UC1', '32FC1'])
def test_what_may_be_depth_is_no_colour_image(encoding):
    # cv_bridge: "[16UC1] is not a color format. but [rgb8] is. The conversion does not make sense"
    with pytest.raises(ImageFormatError) as caught:
        decode_visible(image_of(samples(encoding), encoding))
    assert (caught.value.field, caught.value.value) == ('encoding', encoding)


@pytest.mark.parametrize('layout', [(0, 0), (1, 0), (0, 2), (1, 3)], ids=str)
@pytest.mark.parametrize('encoding', GREYS)
def test_thermal_samples_are_kept(encoding, layout):
    big, padding = layout
    stored = samples(encoding)
    decoded = decode_thermal(image_of(stored, encoding, big=big, padding=padding))
    assert decoded.dtype == stored.dtype
    np.testing.assert_array_equal(decoded, stored)
    assert not is_false_colour(encoding)


@pytest.mark.parametrize('encoding', YUV)
def test_yuv_is_limited_range_bt601(encoding):
    stored = samples(encoding)
    luma_at, chroma_at = YUV[encoding]
    image = image_of(stored, encoding)
    luma = stored[..., luma_at].astype(float)
    u, v = (np.repeat(stored[:, k::2, chroma_at], 2, axis=1) - 128.0 for k in (0, 1))
    y = 1.164 * np.maximum(luma - 16.0, 0.0)
    rgb = np.stack([y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u], axis=-1)
    np.testing.assert_allclose(decode_visible(image), np.clip(rgb, 0, 255), atol=1.0)
    np.testing.assert_array_equal(decode_thermal(image), stored[..., luma_at])
    assert is_false_colour(encoding)


def demosaiced(mosaic, tile):
    """Bilinear interpolation of the inside, one pixel smaller on every side: int [H, W, 3]."""
    m = mosaic.astype(np.int64)
    centre = m[1:-1, 1:-1]
    across, along = m[1:-1, :-2] + m[1:-1, 2:], m[:-2, 1:-1] + m[2:, 1:-1]
    corners = m[:-2, :-2] + m[:-2, 2:] + m[2:, :-2] + m[2:, 2:]
    colour_at = np.tile(np.array(list(tile)).reshape(2, 2), (HEIGHT // 2, WIDTH // 2))
    here, beside = colour_at[1:-1, 1:-1], colour_at[1:-1, :-2]
    planes = []
    for colour in 'rgb':
        plane = np.where(beside == colour, (across + 1) >> 1, (along + 1) >> 1)  # next to its own
        if colour == 'g':
            plane = (across + along + 2) >> 2
        plane = np.where(
            (here != 'g') & (here != colour) & (colour != 'g'), (corners + 2) >> 2, plane
        )
        planes.append(np.where(here == colour, centre, plane))
    return np.stack(planes, axis=-1)


@pytest.mark.parametrize('big', [0, 1])
@pytest.mark.parametrize('encoding', BAYER)
def test_bayer_is_bilinear(encoding, big):
    stored = samples(encoding)
    image = image_of(stored, encoding, big=big)
    inside = demosaiced(stored, encoding[6:10]).astype(stored.dtype)
    rgb = decode_visible(image)
    np.testing.assert_array_equal(rgb[1:-1, 1:-1], to_8_bit(inside))
    # The outermost pixels repeat the next ones.
    np.testing.assert_array_equal(rgb, np.pad(rgb[1:-1, 1:-1], ((1, 1), (1, 1), (0, 0)), 'edge'))
    luma = (inside @ LUMA) / (257 if encoding.endswith('16') else 1)
    # Each of the interpolated channels was rounded, and OpenCV 4 cuts their weighted sum.
    np.testing.assert_allclose(decode_thermal(image)[1:-1, 1:-1], luma, atol=2.0)
    assert is_false_colour(encoding)


@pytest.mark.parametrize('encoding', sorted({*COLOURS, *BAYER, *YUV, 'mono8', 'mono16'}))
def test_rosbags_image_agrees(encoding):
    library = pytest.importorskip('rosbags.image', reason='rosbags-image is not installed')
    image = image_of(samples(encoding), encoding)
    # Its 16 bit values are cut down, cv_bridge's are rounded.
    apart = 1 if LAYOUTS[encoding].sample == 'u2' else 0
    theirs = library.message_to_cvimage(image, 'rgb8').astype(int)
    np.testing.assert_allclose(decode_visible(image).astype(int), theirs, atol=apart)
    if is_false_colour(encoding):
        theirs = library.message_to_cvimage(image, 'mono8').astype(int)
        np.testing.assert_allclose(decode_thermal(image).astype(int), theirs, atol=apart)


@pytest.mark.parametrize('encoding', BAYER)
@pytest.mark.parametrize('size', [(1, 1), (2, 2), (2, 9), (9, 2)])
def test_mosaics_too_small_to_interpolate_are_refused(encoding, size):
    height, width = size
    data = bytes(height * width * LAYOUTS[encoding].size)
    with pytest.raises(ImageFormatError) as caught:
        decode_visible(message(encoding, data, height, width))
    assert caught.value.field == ('height' if height < 3 else 'width')


@pytest.mark.parametrize('encoding', YUV)
def test_half_a_pair_of_yuv_pixels_is_refused(encoding):
    with pytest.raises(ImageFormatError, match='an even number'):
        decode_visible(message(encoding, bytes(6), 1, 3))


@pytest.mark.parametrize('encoding', ['8UC3', 'RGB8', 'nv12', '64FC1', '32FC3', '', None, 7])
def test_unknown_encodings_are_no_false_colour(encoding):
    assert not is_false_colour(encoding)
