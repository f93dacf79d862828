"""Films and folders as recordings, the choice of topics, and parameters as ROS users give them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')
pytest.importorskip('mcap')
av = pytest.importorskip('av')

import replay_rig as rig

from paif_ros.errors import ParameterError
from paif_ros.images.messages import stamp_of
from paif_ros.replay.bag import Bag
from paif_ros.replay.choice import TopicChoiceError, choose
from paif_ros.replay.feed import RecordingError
from paif_ros.replay.films import START_NS
from paif_ros.replay.opening import open_feed
from paif_ros.replay.options import Inputs
from paif_ros.replay.parameter_files import read_parameters, shipped_model

RAW = {'color': 'raw', 'thermal': 'raw'}


def write_film(path: Path, frames: list[np.ndarray], pix_fmt: str, codec: str) -> Path:
    """Write a film without loss whose frames come at uneven times: 0, 40, 90, 120, 160 ms."""
    with av.open(str(path), 'w') as film:
        stream: Any = film.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, pixels in enumerate(frames):
            form = (
                'rgb24' if pixels.ndim == 3 else ('gray16le' if pixels.itemsize == 2 else 'gray')
            )
            frame = av.VideoFrame.from_ndarray(pixels, format=form)
            frame.pts = number * 40 + (10 if number == 2 else 0)
            for packet in stream.encode(frame):
                film.mux(packet)
        for packet in stream.encode():
            film.mux(packet)
    return path


def test_two_films(tmp_path: Path) -> None:
    pairs = [rig.pictures(number) for number in range(5)]
    color = write_film(tmp_path / 'rgb.mkv', [c for c, _ in pairs], 'bgr0', 'ffv1')
    deep = write_film(tmp_path / 'ir.mkv', [t for _, t in pairs], 'gray16le', 'ffv1')
    feed = open_feed(Inputs((str(color), str(deep))))
    items = list(feed.messages())
    assert feed.kind == 'films'
    assert choose(feed, {}, RAW) == {'color': rig.COLOR, 'thermal': rig.THERMAL}
    for topic, index, encoding in ((rig.COLOR, 0, 'rgb8'), (rig.THERMAL, 1, 'mono16')):
        mine = [item.message for item in items if item.topic.name == topic]
        times = [(stamp_of(message) - START_NS) // 10**6 for message in mine]
        assert times == [0, 40, 90, 120, 160]
        for message, pair in zip(mine, pairs, strict=True):
            assert message.encoding == encoding
            found = message.data.view(np.uint16 if index else np.uint8).reshape(pair[index].shape)
            np.testing.assert_array_equal(found, pair[index])
    assert [i.log_ns for i in items] == sorted(i.log_ns for i in items)
    rated = open_feed(Inputs((str(color), str(deep)), rate=10.0))
    stamps = [stamp_of(i.message) - START_NS for i in rated.messages({rig.COLOR})]
    assert stamps == [number * 10**8 for number in range(5)]


def test_a_grey_thermal_film_is_mono8_and_a_broken_one_is_told(tmp_path: Path) -> None:
    pictures = [np.full((48, 64), 60 + 30 * n, np.uint8) for n in range(5)]
    colors = [rig.pictures(n)[0] for n in range(5)]
    thermal = write_film(tmp_path / 'a_infrared.mp4', pictures, 'yuv420p', 'libx264')
    write_film(tmp_path / 'a_visible.mp4', colors, 'yuv420p', 'libx264')
    feed = open_feed(Inputs((str(tmp_path),)))
    found = [i.message for i in feed.messages({rig.THERMAL})]
    assert {message.encoding for message in found} == {'mono8'}
    for message, picture in zip(found, pictures, strict=True):
        assert abs(int(message.data.mean()) - int(picture[0, 0])) <= 2
    thermal.write_bytes(thermal.read_bytes()[:200])
    with pytest.raises(RecordingError, match='can not be opened as a film'):
        open_feed(Inputs((str(tmp_path),)))


def test_two_folders_with_times_in_their_names(tmp_path: Path) -> None:
    """PNG goes through byte by byte, 16 bit included; files of other kinds are decoded."""
    for side in ('vi', 'ir'):
        (tmp_path / side).mkdir()
    for number in range(3):
        color, heat = rig.pictures(number)
        name = f'frame_{rig.START + number * rig.PERIOD}'
        cv2.imwrite(str(tmp_path / 'vi' / f'{name}.png'), color[..., ::-1])
        cv2.imwrite(str(tmp_path / 'ir' / f'{name}.tiff'), heat)
    feed = open_feed(Inputs((str(tmp_path),)))
    topics = choose(feed, {}, RAW)
    assert topics == {'color': f'{rig.COLOR}/compressed', 'thermal': rig.THERMAL}
    items = list(feed.messages())
    assert feed.span == (rig.START, rig.START + 2 * rig.PERIOD)
    from paif_ros.images.messages import reader_of

    for number in range(3):
        seen, felt = sorted((i for i in items if i.log_ns == rig.START + number * rig.PERIOD),
                            key=lambda item: item.topic.name)  # fmt: skip
        color, heat = rig.pictures(number)
        np.testing.assert_array_equal(reader_of(seen.message).decode_visible(seen.message), color)
        np.testing.assert_array_equal(reader_of(felt.message).decode_thermal(felt.message), heat)


@pytest.mark.parametrize(
    ('stem', 'stamp'),
    [
        ('1700000000.25', 1_700_000_000_250_000_000),
        ('cam_1700000000.000000001', 1_700_000_000_000_000_001),
        ('1700000000', 1_700_000_000_000_000_000),
        ('1700000000123', 1_700_000_000_123_000_000),
        ('1700000000123456', 1_700_000_000_123_456_000),
        ('x1700000000123456789', 1_700_000_000_123_456_789),
    ],
)
def test_times_of_names(tmp_path: Path, stem: str, stamp: int) -> None:
    for side in ('rgb', 'thermal'):
        (tmp_path / side).mkdir()
        cv2.imwrite(str(tmp_path / side / f'{stem}.png'), np.zeros((8, 8), np.uint8))
    feed = open_feed(Inputs((str(tmp_path),)))
    assert {item.log_ns for item in feed.messages()} == {stamp}


def test_folders_without_times_need_a_rate(tmp_path: Path) -> None:
    """Files of one name are of one moment, so a file that is missing shifts none behind it."""
    for side, numbers in (('vi', (1, 2, 3, 10)), ('ir', (1, 3, 10))):
        (tmp_path / side).mkdir()
        for number in numbers:
            cv2.imwrite(str(tmp_path / side / f'{number}.png'), np.zeros((8, 8), np.uint8))
    with pytest.raises(RecordingError, match='--rate'):
        open_feed(Inputs((str(tmp_path),)))
    items = list(open_feed(Inputs((str(tmp_path),), rate=10.0)).messages())
    places = [
        [(i.log_ns - START_NS) // 10**8 for i in items if name in i.topic.name]
        for name in ('color', 'thermal')
    ]
    assert places == [[0, 1, 2, 3], [0, 2, 3]]


def test_what_is_no_recording_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / 'a.mp4').touch()
    for path, text in (
        (tmp_path / 'a.mp4', '--color RGB --thermal THERMAL'),
        (tmp_path, 'a folder with vi/ and ir/'),
        (tmp_path / 'b', 'no such file'),
    ):
        with pytest.raises(RecordingError, match=text):
            open_feed(Inputs((str(path),)))


# ---- topics


def bag_of(folder: Path, **kinds: str) -> Bag:
    """A bag with one image on each topic, 'rgb8', 'mono8', 'mono16', 'jpeg' or 'png16'."""
    rows = []
    for number, (name, kind) in enumerate(kinds.items()):
        topic, when = '/' + name.replace('__', '/'), rig.START + number
        color, heat = rig.pictures(0)
        if kind in ('jpeg', 'png16'):
            from paif_ros.images.compressed import encode

            plain = (color, 'rgb8', 'jpeg') if kind == 'jpeg' else (heat, 'mono16', 'png')
            form, data = encode(*plain)
            message = rig.messages.compressed_image(data.tobytes(), form, when, '')
            rows.append((topic, rig.messages.COMPRESSED, when, message))
        else:
            pixels = {'rgb8': color, 'mono8': color[..., 0], 'mono16': heat}[kind]
            rows.append(
                (topic, rig.messages.IMAGE, when, rig.messages.image(pixels, kind, when, ''))
            )
        info = topic.removesuffix('/compressed').rpartition('/')[0] + '/camera_info'
        rows.append((info, rig.messages.CAMERA_INFO, when, rig.camera_info(when)))
    return Bag(rig.write_bag(folder, rows))


@pytest.mark.parametrize(
    ('kinds', 'color', 'thermal'),
    [
        ({'cam0__image': 'rgb8', 'cam1__image': 'mono16'}, '/cam0/image', '/cam1/image'),
        ({'rgb__image': 'rgb8', 'flir__image': 'mono8'}, '/rgb/image', '/flir/image'),
        ({'a__image__compressed': 'jpeg', 'b__image__compressed': 'png16'},
         '/a/image/compressed', '/b/image/compressed'),
        ({'a__image': 'rgb8', 'a__image__compressed': 'jpeg', 'ir__image': 'mono16'},
         '/a/image', '/ir/image'),
        ({'a__image': 'rgb8', 'depth__image': 'mono16', 'ir__image': 'mono16',
          'fusion__fused__image': 'rgb8'}, '/a/image', '/ir/image'),
        ({'color__image_raw': 'rgb8', 'rear__image': 'rgb8', 'x__image': 'mono16'},
         '/color/image_raw', '/x/image'),
    ],
)  # fmt: skip
def test_cameras_are_told_apart(tmp_path: Path, kinds: Any, color: str, thermal: str) -> None:
    bag = bag_of(tmp_path / 'bag', **kinds)
    chosen = choose(bag, {}, RAW)
    assert (chosen['color'], chosen['thermal']) == (color, thermal)
    base = color.removesuffix('/compressed').rpartition('/')[0]
    assert chosen['color_info'] == f'{base}/camera_info'
    bag.close()


def test_what_can_not_be_told_apart_is_asked(tmp_path: Path) -> None:
    bag = bag_of(tmp_path / 'two', left__image='rgb8', right__image='rgb8', t__image='mono16')
    with pytest.raises(TopicChoiceError) as caught:
        choose(bag, {}, RAW)
    assert caught.value.candidates == ('/left/image', '/right/image')
    assert '--color-topic' in str(caught.value)
    assert 'rgb8, 1 messages' in str(caught.value)
    chosen = choose(bag, {'color': 'right/image'}, RAW)
    assert (chosen['color'], chosen['thermal']) == ('/right/image', '/t/image')
    with pytest.raises(TopicChoiceError, match='there is /left/image, /right/image, /t/image'):
        choose(bag, {'color': '/front/image'}, RAW)
    bag.close()
    bag = bag_of(tmp_path / 'one', a__image='rgb8')
    with pytest.raises(TopicChoiceError, match='no topic of the thermal camera'):
        choose(bag, {}, RAW)
    with pytest.raises(TopicChoiceError, match='both cameras can not be'):
        choose(bag, {'thermal': '/a/image', 'color': '/a/image'}, RAW)
    bag.close()
    bag = bag_of(tmp_path / 'both', a__image='rgb8', a__image__compressed='jpeg', b__i='mono16')
    compressed = {'color': 'compressed', 'thermal': 'raw'}
    assert choose(bag, {}, compressed)['color'] == '/a/image/compressed'
    bag.close()


# ---- parameters


def test_parameters_as_the_node_takes_them(tmp_path: Path) -> None:
    """The shipped file as it is, one of a user's over it, and the command line over both."""
    own = tmp_path / 'own.yaml'
    own.write_text(
        '/**:\n  ros__parameters:\n    sync: {slop: 0.05, queue_size: 20}\n'
        '    use_sim_time: true\n    qos_overrides./color.depth: 3\n'
        'fusion:\n  ros__parameters:\n    sync.slop: 0.06\n'
        '/other:\n  ros__parameters:\n    sync.slop: 0.9\n'
    )
    shipped = Path(__file__).resolve().parents[1] / 'config' / 'fusion.yaml'
    values = read_parameters(
        [shipped, own], ['thermal.agc:=equalize', 'sync.max_age:=1'], 'm.onnx'
    )
    assert values['sync.slop'] == 0.06
    assert values['sync.queue_size'] == 20
    assert (values['thermal.agc'], values['sync.max_age']) == ('equalize', 1.0)
    assert values['model_path'] == 'm.onnx'
    assert read_parameters([], [], shipped_model())['model_path'].endswith('paif_small.onnx')


@pytest.mark.parametrize(
    ('given', 'text'),
    [
        (['sync.slopp:=0.1'], 'is it sync.slop?'),
        (['sync.slop:=9.0'], 'double from 0 to 1'),
        (['sync.slop'], 'name:=value'),
        (['thermal.range_min:=70000.0'], 'thermal.range_max'),
        (['mask.hold:=a'], 'int from 1 to 30'),
    ],
)
def test_wrong_parameters_are_named(given: list[str], text: str) -> None:
    with pytest.raises(ParameterError, match=text.replace('?', r'\?')):
        read_parameters([], given, 'm.onnx')


def test_wrong_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / 'a.yaml'
    for content, text in (('a: [', 'a YAML file'), ('- 1', 'ros__parameters'), ('x: 1', r'/\*\*')):
        path.write_text(content)
        with pytest.raises(ParameterError, match=text):
            read_parameters([path], [], 'm.onnx')
    with pytest.raises(ParameterError, match='readable'):
        read_parameters([tmp_path / 'none.yaml'], [], 'm.onnx')
