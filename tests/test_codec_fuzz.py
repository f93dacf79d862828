"""20,000 images, good and malformed: a right array, or the error that names a field that is wrong.

What is right is decided here by rules of its own, message by message and byte by byte.
"""

from __future__ import annotations

import array
import struct

import numpy as np
import pytest
from messages import message

from paif_ros.errors import ImageFormatError
from paif_ros.images.codec import check, decode_thermal, decode_visible

COUNT = 20_000
ORDERS = {'rgb': 'RGB', 'bgr': 'BGR', 'rgba': 'RGBA', 'bgra': 'BGRA'}
# Name: (bytes per pixel, bytes per sample, smallest side, width must be even).
PIXELS = {
    'mono8': (1, 1, 1, False), '8UC1': (1, 1, 1, False),
    'mono16': (2, 2, 1, False), '16UC1': (2, 2, 1, False), '32FC1': (4, 4, 1, False),
    **{f'{o}{8 * n}': (len(o) * n, n, 1, False) for o in ORDERS for n in (1, 2)},
    **{f'bayer_{t}{8 * n}': (n, n, 3, False)
       for t in ('rggb', 'bggr', 'gbrg', 'grbg') for n in (1, 2)},
    **dict.fromkeys(('uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2'), (2, 1, 1, True)),
}  # fmt: skip
# What a thermal image is not made 8 bit of.
KEPT = {'16UC1': 'uint16', 'mono16': 'uint16', '32FC1': 'float32'}
UNKNOWN = ['nv12', '8UC3', '', 'mono', 'MONO8', '64FC1', '32FC2', 'rgb8 ', None, 8, ('rgb8',)]
ODD_NUMBERS = [
    0, 1, 2, 3, -1, 255, 8191, 8192, 2**31, 2**32 - 1, 2**64, None, 1.5, 4.0, 'x', b'4', True,
    float('nan'), np.uint32(4), np.uint8(4), np.int64(-4), np.float64(4),
]  # fmt: skip
ODD_DATA = [
    None, 'x', 'abcd', [1], (0,) * 4, b'', array.array('H', [1]), array.array('b', [1]),
    np.zeros((2, 2)), np.zeros((2, 2), np.uint8), np.zeros(8, np.uint8)[::2], memoryview(b'abcd'),
    np.zeros(4, np.float32), np.array([None]), object(),
]  # fmt: skip


def integer(value, low, high):
    return isinstance(value, (int, np.integer)) and low <= value <= high


def faults(image):
    """Return the fields that are wrong, or that disagree with another; empty for a good image."""
    if not isinstance(image.encoding, str) or image.encoding not in PIXELS:
        return {'encoding'}
    pixel, sample, least, even = PIXELS[image.encoding]
    wrong = set()
    for field in ('height', 'width'):
        if not integer(getattr(image, field), least, 8191):
            wrong.add(field)
    if not integer(image.is_bigendian, 0, 1):
        wrong.add('is_bigendian')
    if even and 'width' not in wrong and image.width % 2:
        wrong.add('width')
    if wrong:
        return wrong
    row = int(image.width) * pixel
    if not integer(image.step, row, 2**28 // int(image.height)) or image.step % sample:
        return {'step'}
    try:
        view = memoryview(image.data)
    except TypeError:
        return {'data'}
    flat = view.format == 'B' and view.ndim == 1 and view.c_contiguous
    return set() if flat and view.nbytes == int(image.step) * int(image.height) else {'data'}


def pixel_of(image, row, column):
    """Read one pixel's samples from the message's bytes."""
    pixel, sample, _, _ = PIXELS[image.encoding]
    start = row * int(image.step) + column * pixel
    raw = bytes(memoryview(image.data)[start : start + pixel])
    order = '>' if image.is_bigendian else '<'
    letter = {1: 'B', 2: 'H', 4: 'f'}[sample]
    return struct.unpack(f'{order}{pixel // sample}{letter}', raw)


def assert_pixel(image, row, column, visible, thermal):
    samples = pixel_of(image, row, column)
    order = ORDERS.get(image.encoding.rstrip('0123456789'))
    if order:
        scale = 257 if image.encoding.endswith('16') else 1
        rgb = [(samples[order.index(c)] + scale // 2) // scale for c in 'RGB']
        assert visible[row, column].tolist() == rgb
        luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
        assert abs(int(thermal[row, column]) - luma) <= 1.5
    elif PIXELS[image.encoding][2] == 1 and not PIXELS[image.encoding][3]:
        np.testing.assert_equal(thermal[row, column], samples[0])  # NaN equals NaN here
        if visible is not None:
            grey = (samples[0] + 128) // 257 if image.encoding == 'mono16' else samples[0]
            assert visible[row, column].tolist() == [grey] * 3


def draw(rng):
    """Return an image: of random bytes, with up to two fields spoilt in half of the cases."""
    encodings = [*PIXELS, *UNKNOWN] if rng.random() < 0.2 else [*PIXELS]
    encoding = encodings[rng.integers(len(encodings))]
    pixel, sample, _, _ = PIXELS.get(encoding, (1, 1, 1, False))
    height, width = (int(side) for side in rng.integers(1, 12, 2))
    step = width * pixel + int(rng.integers(4)) * sample
    data = rng.integers(0, 256, step * height, np.uint8).tobytes()
    image = message(encoding, data, height, width, is_bigendian=int(rng.integers(2)))
    for _ in range(rng.integers(3) if rng.random() < 0.5 else 0):
        field = ('height', 'width', 'step', 'is_bigendian', 'data', 'cut', 'kind')[rng.integers(7)]
        if field == 'cut':
            length = max(0, step * height + int(rng.integers(-3, 4)))
            image.data = array.array('B', bytes(length))
        elif field == 'kind':
            raw = bytes(data)
            image.data = [raw, bytearray(raw), memoryview(raw), np.frombuffer(raw, np.uint8)][
                rng.integers(4)
            ]
        elif field == 'data':
            image.data = ODD_DATA[rng.integers(len(ODD_DATA))]
        else:
            setattr(image, field, ODD_NUMBERS[rng.integers(len(ODD_NUMBERS))])
    return image


def outcome(read, image):
    """Return the answer and the name of the field that an error gave."""
    try:
        return read(image), None
    except ImageFormatError as err:
        return None, err.field


def test_twenty_thousand_images_end_in_a_right_array_or_the_error():
    rng = np.random.default_rng(20)
    good = bad = 0
    seen = set()
    for _ in range(COUNT):
        image = draw(rng)
        wrong = faults(image)
        _, refused = outcome(check, image)
        thermal, thermal_refused = outcome(decode_thermal, image)
        visible, visible_refused = outcome(decode_visible, image)
        if wrong:
            bad += 1
            assert {refused, thermal_refused, visible_refused} == {refused}
            assert refused in wrong
            continue
        good += 1
        seen.add(image.encoding)
        assert refused is None
        assert thermal_refused is None
        kind = KEPT.get(image.encoding, 'uint8')
        assert (str(thermal.dtype), thermal.shape) == (kind, (image.height, image.width))
        assert visible_refused == ('encoding' if image.encoding in ('16UC1', '32FC1') else None)
        if visible is not None:
            assert (str(visible.dtype), visible.shape) == ('uint8', (*thermal.shape, 3))
        row, column = int(rng.integers(image.height)), int(rng.integers(image.width))
        assert_pixel(image, row, column, visible, thermal)
    assert seen == set(PIXELS)
    assert good > COUNT // 3
    assert bad > COUNT // 4


def test_enormous_claims_cost_nothing():
    """No size that a header claims is believed before the data is there."""
    for encoding, (pixel, sample, _, even) in PIXELS.items():
        for height, width in ((8191, 8190), (8191, 4), (4, 8190)):
            for data in (b'', bytes(64)):
                step = width * pixel
                image = message(encoding, data, height, width, step=step)
                with pytest.raises(ImageFormatError):
                    decode_thermal(image)
                image.step = 2**40 * sample * (2 if even else 1)
                with pytest.raises(ImageFormatError):
                    decode_visible(image)
