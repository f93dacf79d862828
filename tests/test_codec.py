"""Image messages: every encoding by hand, padding, byte order, malformed ones, and packing."""

import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import message

from paif_ros.errors import ImageFormatError, PaifError
from paif_ros.images import codec
from paif_ros.images.codec import decode_thermal, decode_visible, pack

RED, GREEN = (200, 10, 30), (20, 220, 40)

VISIBLE = {
    'rgb8': (bytes((200, 10, 30, 20, 220, 40)), [[RED, GREEN]]),
    'bgr8': (bytes((30, 10, 200, 40, 220, 20)), [[RED, GREEN]]),
    'rgba8': (bytes((200, 10, 30, 7, 20, 220, 40, 9)), [[RED, GREEN]]),
    'bgra8': (bytes((30, 10, 200, 7, 40, 220, 20, 9)), [[RED, GREEN]]),
    'mono8': (bytes((0, 255)), [[(0, 0, 0), (255, 255, 255)]]),
    '8UC1': (bytes((3, 4)), [[(3, 3, 3), (4, 4, 4)]]),
}
THERMAL = {
    'mono8': (bytes((0, 255)), [[0, 255]], np.uint8),
    '8UC1': (bytes((3, 4)), [[3, 4]], np.uint8),
    'mono16': (bytes((0x34, 0x12, 0xFF, 0x00)), [[0x1234, 255]], np.uint16),
    '16UC1': (bytes((0x01, 0x00, 0x00, 0x80)), [[1, 0x8000]], np.uint16),
    '32FC1': (bytes((0, 0, 0x80, 0x3F, 0, 0, 0x28, 0xC2)), [[1.0, -42.0]], np.float32),
}


@pytest.mark.parametrize('encoding', VISIBLE)
def test_visible_values(encoding):
    data, expected = VISIBLE[encoding]
    pixels = decode_visible(message(encoding, data))
    assert pixels.dtype == np.uint8
    assert pixels.tolist() == [[list(pixel) for pixel in row] for row in expected]


@pytest.mark.parametrize('encoding', THERMAL)
def test_thermal_values(encoding):
    data, expected, dtype = THERMAL[encoding]
    counts = decode_thermal(message(encoding, data))
    assert counts.dtype == dtype
    assert counts.dtype.isnative
    assert counts.tolist() == expected


@pytest.mark.parametrize('encoding', ['mono16', '16UC1'])
def test_big_endian_counts_come_out_native(encoding):
    counts = decode_thermal(message(encoding, bytes((0x12, 0x34, 0, 255)), is_bigendian=1))
    assert counts.dtype == np.uint16
    assert counts.dtype.isnative
    assert counts.tolist() == [[0x1234, 255]]


@pytest.mark.parametrize('is_bigendian', [0, 1])
def test_degrees_keep_what_is_no_number(is_bigendian):
    degrees = np.array([[21.5, np.nan, -np.inf, np.inf, 3.4e38, 1e-45]], np.float32)
    stored = degrees.astype('>f4' if is_bigendian else '<f4').tobytes()
    decoded = decode_thermal(message('32FC1', stored, 1, 6, is_bigendian=is_bigendian))
    assert decoded.dtype.isnative
    assert not decoded.flags.writeable
    np.testing.assert_array_equal(decoded, degrees)


@pytest.mark.parametrize('encoding', VISIBLE)
def test_byte_order_means_nothing_to_bytes(encoding):
    data, _ = VISIBLE[encoding]
    little, big = (decode_visible(message(encoding, data, is_bigendian=b)) for b in (0, 1))
    np.testing.assert_array_equal(little, big)


@pytest.mark.parametrize('is_bigendian', [0, 1])
@pytest.mark.parametrize('padding', [4, 12, 64])
@pytest.mark.parametrize('encoding', [*VISIBLE, *THERMAL])
def test_row_padding_is_skipped(encoding, padding, is_bigendian):
    thermal = encoding in ('mono16', '16UC1', '32FC1')
    row = (THERMAL if thermal else VISIBLE)[encoding][0]
    decode = decode_thermal if thermal else decode_visible
    packed = decode(message(encoding, row * 3, height=3, is_bigendian=is_bigendian))
    padded = (row + b'\xee' * padding) * 3
    np.testing.assert_array_equal(
        decode(message(encoding, padded, height=3, is_bigendian=is_bigendian)), packed
    )


def test_views_share_the_message_bytes():
    colour, grey = message('rgb8', bytes(range(24)), 2, 4), message('mono8', bytes(8), 2, 4)
    deep = message('mono16', bytes(20), 2, 4, step=10)
    for decode, image in (
        (decode_visible, colour),
        (decode_thermal, grey),
        (decode_thermal, deep),
    ):
        pixels = decode(image)
        assert np.shares_memory(pixels, np.frombuffer(image.data, np.uint8))
        assert not pixels.flags.writeable
    image = deep
    image.data[10] = 42
    assert decode_thermal(image)[1, 0] == 42


@pytest.mark.parametrize('kind', [bytes, bytearray, memoryview, 'ndarray'])
def test_other_buffers_are_accepted(kind):
    image = message('rgb8', bytes(range(6)))
    raw = bytes(image.data)
    image.data = np.frombuffer(raw, np.uint8) if kind == 'ndarray' else kind(raw)
    assert decode_visible(image).ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_odd_address_is_read():
    image = message('mono16', bytes(4))
    image.data = memoryview(b'\0\x34\x12\x78\x56')[1:]
    assert decode_thermal(image).tolist() == [[0x1234, 0x5678]]
    image = message('32FC1', bytes(4), width=1)
    image.data = memoryview(b'\0\0\0\x80\x3f')[1:]
    assert decode_thermal(image).tolist() == [[1.0]]


MALFORMED = {
    'encoding': ['', 'RGB8', '8UC3', '32FC3', 'nv12', 'jpeg', None, 8, b'rgb8', ['rgb8']],
    'height': [0, -1, 8192, 2**32, 1.0, None, '1', np.float32(1)],
    'width': [0, -1, 8192, 2**64, 2.0, None],
    'step': [0, 5, -6, 2**63, None, 6.0],
    'is_bigendian': [2, -1, 255, None, 'no', 0.0],
    'data': [
        b'', bytes(5), bytes(7), None, 6, 'abcdef', [1, 2, 3, 4, 5, 6], (0,) * 6,
        array.array('b', bytes(6)), array.array('H', bytes(6)), np.zeros(6, np.float32),
        np.zeros((1, 6), np.uint8), np.zeros(12, np.uint8)[::2], np.zeros((), np.uint8),
        np.array([None] * 6), np.zeros(6, 'datetime64[s]'),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ('field', 'value'), [(field, value) for field, values in MALFORMED.items() for value in values]
)
def test_malformed_fields_are_named(field, value):
    image = message('rgb8', bytes(6))
    setattr(image, field, value)
    for read in (decode_visible, codec.check):
        with pytest.raises(ImageFormatError) as caught:
            read(image)
        assert caught.value.field == field
        assert isinstance(caught.value, PaifError)


@pytest.mark.parametrize(
    ('field', 'value', 'named'),
    [('height', 2, 'data'), ('width', 3, 'step'), ('step', 7, 'data'), ('step', 12, 'data')],
)
def test_fields_that_disagree_are_malformed(field, value, named):
    image = message('rgb8', bytes(6))
    setattr(image, field, value)
    with pytest.raises(ImageFormatError) as caught:
        decode_visible(image)
    assert caught.value.field == named


def test_odd_steps_of_wide_samples_are_refused():
    with pytest.raises(ImageFormatError, match='multiple of 2'):
        decode_thermal(message('mono16', bytes(10), height=2))
    with pytest.raises(ImageFormatError, match='multiple of 4'):
        decode_thermal(message('32FC1', bytes(20), height=2))


def test_size_limit_comes_before_the_data():
    image = message('mono8', b'', height=8191, width=8191, step=40_000)
    with pytest.raises(ImageFormatError) as caught:
        decode_thermal(image)
    assert caught.value.field == 'step'


def blank():
    return message('', b'', step=0)


@settings(deadline=None)
@given(
    height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99),
    contiguous=st.booleans(),
)  # fmt: skip
def test_pack_and_decode_return_the_same(height, width, seed, contiguous):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    pixels = pixels if contiguous else pixels[:, ::-1]
    image = blank()
    pack(image, pixels, 'rgb8')
    assert (image.height, image.width, image.step) == (height, width, width * 3)
    np.testing.assert_array_equal(decode_visible(image), pixels)
    pack(image, pixels[..., 0], 'mono8')
    assert (image.encoding, image.is_bigendian, image.step) == ('mono8', 0, width)
    np.testing.assert_array_equal(decode_thermal(image), pixels[..., 0])


@pytest.mark.parametrize(
    ('pixels', 'encoding'),
    [
        (np.zeros((2, 2, 3), np.uint8), 'bgr8'),
        (np.zeros((2, 2, 3), np.uint8), 'mono8'),
        (np.zeros((2, 2), np.uint8), 'rgb8'),
        (np.zeros((2, 2, 4), np.uint8), 'rgb8'),
        (np.zeros((2, 2), np.uint16), 'mono8'),
        (np.zeros((0, 2), np.uint8), 'mono8'),
        (np.zeros((2, 8192), np.uint8), 'mono8'),
    ],
)
def test_pack_refuses_what_does_not_fit(pixels, encoding):
    image = blank()
    with pytest.raises(ImageFormatError):
        pack(image, pixels, encoding)
    assert image.encoding == ''


def test_real_messages_round_trip_by_buffer():
    messages = pytest.importorskip('sensor_msgs.msg', reason='no ROS messages installed here')
    pixels = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    image = messages.Image()
    image.header.frame_id = 'camera'
    pack(image, pixels, 'rgb8')
    assert isinstance(image.data, array.array)
    assert image.header.frame_id == 'camera'
    decoded = decode_visible(image)
    assert np.shares_memory(decoded, np.frombuffer(image.data, np.uint8))
    np.testing.assert_array_equal(decoded, pixels)


def test_packing_hands_over_an_array_of_bytes():
    image = blank()
    pack(image, np.zeros((2, 2), np.uint8), 'mono8')
    assert type(image.data) is array.array
    assert image.data.typecode == 'B'
