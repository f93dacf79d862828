"""Compressed images: the transport's conventions, headers that lie, bombs, and a fuzz."""

from __future__ import annotations

import array
import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from paif_ros.errors import ImageFormatError
from paif_ros.images.codec import MAX_BYTES
from paif_ros.images.compressed import (
    check,
    decode_thermal,
    decode_visible,
    encode,
    is_false_colour,
)
from paif_ros.images.picture_headers import read_header


def scene(height=48, width=64, channels=3, dtype=np.uint8):
    """Draw a smooth random picture, which JPEG keeps well."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    noise = np.random.default_rng(3).random(shape).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 5)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (smooth * np.iinfo(dtype).max).astype(dtype)


RGB, GREY, COUNTS = scene(), scene(channels=1), scene(channels=1, dtype=np.uint16)


def compressed(form, data):
    return SimpleNamespace(format=form, data=array.array('B', bytes(data)))


def written(pixels, suffix='.png', *options):
    return bytes(cv2.imencode(suffix, pixels, options)[1])


def bgr(pixels):
    return np.ascontiguousarray(pixels[..., ::-1])


@pytest.mark.parametrize('kind', ['jpeg', 'png'])
def test_written_as_the_transport_does(kind):
    form, data = encode(RGB, 'rgb8', kind)
    assert form == f'rgb8; {kind} compressed bgr8'
    assert type(data) is array.array
    assert data.typecode == 'B'
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(stored[..., ::-1].astype(int), RGB, atol=16 * (kind == 'jpeg'))
    assert encode(GREY, 'mono8', kind)[0] == f'mono8; {kind} compressed '


@pytest.mark.parametrize(
    ('pixels', 'encoding', 'decode'),
    [
        (RGB, 'rgb8', decode_visible),
        (GREY, 'mono8', decode_thermal),
        (COUNTS, 'mono16', decode_thermal),
        (COUNTS[:, ::2], 'mono16', decode_thermal),
    ],
    ids=['rgb8', 'mono8', 'mono16', 'strided'],
)
def test_png_loses_nothing(pixels, encoding, decode):
    decoded = decode(compressed(*encode(pixels, encoding, 'png')))
    assert decoded.dtype == pixels.dtype
    assert not decoded.flags.writeable
    np.testing.assert_array_equal(decoded, pixels)


def test_jpeg_is_near_and_quality_counts():
    sizes = []
    for quality, apart in ((100, 5), (90, 16), (10, 80)):
        form, data = encode(RGB, 'rgb8', 'jpeg', quality)
        sizes.append(len(data))
        decoded = decode_visible(compressed(form, data)).astype(int)
        assert np.abs(decoded - RGB).max() <= apart
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    'form',
    [
        'rgb8; jpeg compressed bgr8', 'bgr8; jpeg compressed bgr8', 'rgba8; jpeg compressed bgr8',
        'bgr8; jpeg compressed ', 'rgb8;jpeg compressed bgr8', 'jpeg', 'jpg', 'JPEG', 'rgb8; jpg',
        'yuv422; jpeg compressed bgr8', '; jpeg', 'png',
    ],
)  # fmt: skip
def test_a_true_colour_picture_is_read_whatever_the_format_calls_it(form):
    picture = written(bgr(RGB), '.jpg', cv2.IMWRITE_JPEG_QUALITY, 100)
    assert np.abs(decode_visible(compressed(form, picture)).astype(int) - RGB).max() <= 4


@pytest.mark.parametrize('form', ['rgb8; png compressed rgb8', 'bgr16; png compressed rgb16'])
def test_red_and_blue_that_were_stored_swapped_are_swapped_back(form):
    np.testing.assert_array_equal(decode_visible(compressed(form, written(RGB))), RGB)


def test_16_bit_colour_and_transparency_become_rgb8():
    deep = scene(dtype=np.uint16)
    message = compressed('rgb16; png compressed bgr16', written(bgr(deep)))
    np.testing.assert_array_equal(decode_visible(message), (deep.astype(int) + 128) // 257)
    clear = np.dstack([bgr(RGB), GREY])
    message = compressed('rgba8; png compressed bgra8', written(clear))
    np.testing.assert_array_equal(decode_visible(message), RGB)


def test_grey_is_repeated_for_the_colour_camera():
    expected = np.repeat(GREY[..., None], 3, axis=2)
    message = compressed('mono8; png compressed ', written(GREY))
    np.testing.assert_array_equal(decode_visible(message), expected)


@pytest.mark.parametrize('encoding', ['bayer_rggb8', 'bayer_gbrg8'])
def test_a_mosaic_is_demosaiced(encoding):
    mosaic = np.tile(np.array([[200, 100], [100, 50]], np.uint8), (8, 8))  # r g / g b
    if encoding == 'bayer_gbrg8':
        mosaic = np.ascontiguousarray(mosaic[::-1])  # g b / r g
    message = compressed(f'{encoding}; png compressed ', written(mosaic))
    assert decode_visible(message)[4, 4].tolist() == [200, 100, 50]
    assert is_false_colour(message)
    # The JPEG of a 16 bit mosaic has 8 bits.
    deep = compressed(f'{encoding[:-1]}16; png compressed ', written(mosaic))
    np.testing.assert_array_equal(decode_visible(deep), decode_visible(message))
    with pytest.raises(ImageFormatError, match='sides from 3'):
        decode_visible(compressed(f'{encoding}; png compressed ', written(mosaic[:2, :2])))


@pytest.mark.parametrize(
    ('form', 'pixels', 'expected', 'colour'),
    [
        ('mono8; png compressed ', GREY, GREY, False),
        ('8UC1; png compressed ', GREY, GREY, False),
        ('mono16; png compressed ', COUNTS, COUNTS, False),
        ('16UC1; png compressed 16UC1', COUNTS, COUNTS, False),
        ('png', COUNTS, COUNTS, False),
        ('mono16; png compressed ', GREY, GREY, False),
        ('rgb8; png compressed bgr8', bgr(RGB), RGB @ [0.299, 0.587, 0.114], True),
        ('png', bgr(RGB), RGB @ [0.299, 0.587, 0.114], True),
    ],
)
def test_thermal(form, pixels, expected, colour):
    message = compressed(form, written(pixels))
    decoded = decode_thermal(message)
    assert decoded.dtype == pixels.dtype
    np.testing.assert_allclose(decoded, expected, atol=0.52 if colour else 0)
    assert is_false_colour(message) is colour


def test_what_may_be_depth_is_no_colour_image():
    with pytest.raises(ImageFormatError) as caught:
        decode_visible(compressed('16UC1; png compressed ', written(COUNTS)))
    assert caught.value.value == '16UC1'


@pytest.mark.parametrize(
    'form',
    ['', ';', 'h264', 'webp', 'tiff', 'rgb8', 'rgb8; ', '16UC1; compressedDepth png', None, 7],
)
def test_other_formats_are_refused(form):
    for read in (check, decode_visible, decode_thermal, is_false_colour):
        with pytest.raises(ImageFormatError) as caught:
            read(compressed(form, written(RGB)))
        assert caught.value.field == 'format'


@pytest.mark.parametrize(
    'data', [b'', b'\x89PNG', b'\xff\xd8\xff', b'GIF89a' * 9, None, [1, 2], 'x', np.zeros(9)]
)
def test_other_data_are_refused(data):
    message = SimpleNamespace(format='jpeg', data=data)
    for read in (check, decode_visible, decode_thermal):
        with pytest.raises(ImageFormatError) as caught:
            read(message)
        assert caught.value.field == 'data'


PICTURES = {
    'jpeg': written(bgr(RGB), '.jpg'),
    'grey jpeg': written(GREY, '.jpg'),
    'progressive': written(bgr(RGB), '.jpg', cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    'restarts': written(bgr(RGB), '.jpg', cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    'png': written(bgr(RGB)),
    'grey png': written(GREY),
    '16 bit png': written(COUNTS),
    'rgba png': written(np.dstack([RGB, GREY])),
    'bilevel png': written(
        (GREY > 128).astype(np.uint8) * 255, '.png', cv2.IMWRITE_PNG_BILEVEL, 1
    ),
}


@pytest.mark.parametrize('name', PICTURES)
def test_headers(name):
    header = read_header(PICTURES[name])
    assert (header.height, header.width) == (48, 64)
    assert header.kind == ('png' if 'png' in name else 'jpeg')
    assert header.bits == (16 if '16' in name else 8)
    assert header.colour is (name not in ('grey jpeg', 'grey png', '16 bit png', 'bilevel png'))
    check(compressed('jpeg', PICTURES[name]))


@pytest.mark.parametrize('name', PICTURES)
def test_padding_after_the_end_is_no_fault(name):
    padded = compressed('png', PICTURES[name] + bytes(512))
    whole = compressed('png', PICTURES[name])
    np.testing.assert_array_equal(decode_visible(padded), decode_visible(whole))


@pytest.mark.parametrize('name', PICTURES)
def test_every_cut_is_seen_before_decoding(name):
    picture = PICTURES[name]
    for length in range(len(picture)):
        with pytest.raises(ImageFormatError) as caught:
            check(compressed('jpeg', picture[:length]))
        assert caught.value.field == 'data'


def test_a_picture_that_its_writer_turned_keeps_its_sides():
    """EXIF asks for a rotation by 90 degrees; camera_info would not turn along."""
    exif = b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'
    segment = b'\xff\xe1' + struct.pack('>H', len(exif) + 2) + exif
    turned = PICTURES['jpeg'][:2] + segment + PICTURES['jpeg'][2:]
    plain = decode_visible(compressed('jpeg', PICTURES['jpeg']))
    np.testing.assert_array_equal(decode_visible(compressed('jpeg', turned)), plain)


@pytest.mark.parametrize('answer', [None, GREY.T, GREY.astype(np.float32), cv2.error('broken')])
def test_what_opencv_does_not_decode_to_the_header_is_refused(monkeypatch, answer):
    def decode(*_):
        if isinstance(answer, cv2.error):
            raise answer
        return answer

    monkeypatch.setattr(cv2, 'imdecode', decode)
    with pytest.raises(ImageFormatError) as caught:
        decode_thermal(compressed('png', PICTURES['grey png']))
    assert caught.value.field == 'data'


def chunk(kind, body):
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def png_claiming(width, height, depth=8, colour=0, more=b''):
    ihdr = chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0))
    idat, iend = chunk(b'IDAT', zlib.compress(bytes(9))), chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + ihdr + more + idat + iend


def jpeg_claiming(width, height):
    picture = bytearray(PICTURES['jpeg'])
    at = picture.index(b'\xff\xc0')
    picture[at + 5 : at + 9] = struct.pack('>HH', height, width)
    return bytes(picture)


BOMBS = {
    'png side': (png_claiming(8192, 1), 'width'),
    'png of four billion': (png_claiming(2**32 - 1, 2**32 - 1), 'data'),
    'png of nothing': (png_claiming(0, 4), 'width'),
    'jpeg side': (jpeg_claiming(8, 8192), 'height'),
    'jpeg of nothing': (jpeg_claiming(0, 8), 'width'),
    'large png of few bytes': (png_claiming(8191, 8191), 'data'),
    'large jpeg of few bytes': (jpeg_claiming(8191, 8191), 'data'),
    # Claims of 512 MiB, in enough bytes to be true.
    'large png': (png_claiming(8191, 8191, 16, 6, chunk(b'noIs', bytes(600_000))), 'data'),
    # 30 times 8 MB.
    'packed texts': (
        PICTURES['png'][:33]
        + chunk(b'zTXt', b'key\0\0' + zlib.compress(bytes(7_900_000), 9)) * 30
        + PICTURES['png'][33:],
        'data',
    ),
    'scans': (PICTURES['progressive'][:-2]
              + b'\xff\xda\0\x08\x01\x01\0\0\x3f\0' * 5000 + b'\xff\xd9', 'data'),
    'chunks': (PICTURES['png'][:33] + chunk(b'abCd', b'') * 70_000 + PICTURES['png'][33:], 'data'),
    'segments': (b'\xff\xd8' + b'\xff\xe0\0\x02' * 600 + PICTURES['jpeg'][2:], 'data'),
}  # fmt: skip


@pytest.mark.parametrize('name', BOMBS)
def test_bombs_are_refused_before_opencv_sees_them(monkeypatch, name):
    def decoded(*_):
        raise AssertionError('decoded')

    monkeypatch.setattr(cv2, 'imdecode', decoded)
    picture, field = BOMBS[name]
    assert len(picture) < 1_000_000
    for read in (decode_visible, decode_thermal, is_false_colour):
        with pytest.raises(ImageFormatError) as caught:
            read(compressed('png', picture))
        assert caught.value.field == field


def test_limits_leave_room_for_what_is_flat_and_large():
    black = np.zeros((4000, 6000), np.uint8)
    for suffix, options in (
        ('.png', ()),
        ('.jpg', ()),
        ('.jpg', (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
    ):
        message = compressed('png', written(black, suffix, *options))
        assert decode_thermal(message).shape == black.shape
    assert MAX_BYTES >= 8191 * 8191  # so that no grey camera is too large


def test_more_bytes_than_any_picture_has_are_refused():
    message = SimpleNamespace(format='png', data=np.broadcast_to(np.uint8(0), MAX_BYTES + 1))
    with pytest.raises(ImageFormatError, match='contiguous'):
        check(message)
    message.data = np.zeros(MAX_BYTES + 1, np.uint8)
    with pytest.raises(ImageFormatError, match=f'up to {MAX_BYTES} bytes'):
        check(message)


@pytest.mark.parametrize(
    ('pixels', 'encoding', 'kind', 'quality', 'field'),
    [
        (RGB, 'bgr8', 'png', 90, 'encoding'), (RGB, 'rgb8', 'webp', 90, 'encoding'),
        (COUNTS, 'mono16', 'jpeg', 90, 'encoding'), (RGB, 'rgb8', 'jpeg', 0, 'quality'),
        (RGB, 'rgb8', 'jpeg', 101, 'quality'), (GREY, 'rgb8', 'jpeg', 90, 'data'),
        (RGB, 'mono8', 'png', 90, 'data'), (COUNTS, 'mono8', 'png', 90, 'data'),
        (GREY[:0], 'mono8', 'png', 90, 'data'), (GREY[0], 'mono8', 'png', 90, 'data'),
        (np.zeros((1, 8192), np.uint8), 'mono8', 'png', 90, 'data'),
        (COUNTS.astype('>u2'), 'mono16', 'png', 90, 'data'),
    ],
)  # fmt: skip
def test_what_can_not_be_written_is_refused(pixels, encoding, kind, quality, field):
    with pytest.raises(ImageFormatError) as caught:
        encode(pixels, encoding, kind, quality)
    assert caught.value.field == field


FORMATS = [
    'jpeg', 'png', 'rgb8; jpeg compressed bgr8', 'mono16; png compressed ', 'bayer_rggb8; png',
    '16UC1; png compressed ', 'rgb8; png compressed rgb8', 'bgra16; png', 'h264', '', None,
]  # fmt: skip


def spoilt(picture, rng):
    """Return the picture with one kind of damage."""
    damage = rng.integers(6)
    body = bytearray(picture)
    if damage == 0:
        return picture[: rng.integers(len(picture))]
    if damage == 1:  # anywhere
        for _ in range(rng.integers(1, 5)):
            body[rng.integers(len(body))] = rng.integers(256)
    elif damage == 2:  # in the header
        for _ in range(rng.integers(1, 4)):
            body[rng.integers(min(64, len(body)))] = rng.integers(256)
    elif damage == 3:  # a hole
        start = rng.integers(len(body))
        del body[start : start + rng.integers(1, 40)]
    elif damage == 4:  # something in between
        start = rng.integers(len(body))
        body[start:start] = rng.integers(0, 256, rng.integers(1, 40), np.uint8).tobytes()
    else:
        return rng.integers(0, 256, rng.integers(200), np.uint8).tobytes()
    return bytes(body)


def test_four_thousand_spoilt_pictures_end_in_an_array_or_the_error(capfd):
    rng = np.random.default_rng(21)
    pictures = list(PICTURES.values())
    good = bad = 0
    for _ in range(4_000):
        picture = pictures[rng.integers(len(pictures))]
        if rng.random() < 0.9:
            picture = spoilt(picture, rng)
        message = compressed(FORMATS[rng.integers(len(FORMATS))], picture)
        for decode, dtypes, tail in (
            (decode_visible, ('uint8',), (3,)),
            (decode_thermal, ('uint8', 'uint16'), ()),
        ):
            try:
                pixels = decode(message)
            except ImageFormatError:
                bad += 1
                continue
            good += 1
            header = read_header(picture)
            assert pixels.dtype in dtypes
            assert pixels.shape == (header.height, header.width, *tail)
    capfd.readouterr()  # what libjpeg and libpng say about it
    assert good > 800
    assert bad > 3_000
