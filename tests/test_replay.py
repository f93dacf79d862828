"""What a replay makes of a recording: bag, film, pictures, tables, run.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rosbags')
pytest.importorskip('mcap')
av = pytest.importorskip('av')
pytest.importorskip('onnxruntime')

import replay_rig as rig
import tiny_model
import yaml

from paif_ros.fusion.outgoing import PICTURES
from paif_ros.images.compressed import decode_visible
from paif_ros.replay.record import STAGES, RunRecord, read_drops, read_frames
from paif_ros.thermal.agc import Agc, ThermalConfig

COUNT = 8
LONE = rig.START + COUNT * rig.PERIOD + rig.PERIOD // 2


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunRecord]:
    """Everything that can be made, of a recording with one frame more than pairs."""
    folder = tmp_path_factory.mktemp('replay')
    model = tiny_model.write(folder / 'tiny.onnx', confidence=True)
    rows = rig.recording(COUNT)
    lone = rig.messages.image(rig.pictures(99)[0], 'rgb8', LONE, 'rgb')
    bag = rig.write_bag(folder / 'in', [*rows, (rig.COLOR, rig.messages.IMAGE, LONE, lone)])
    opts = rig.options(
        model,
        copy=True,
        topics=tuple(PICTURES),
        transport='both',
        mosaic='rgb,thermal/fused,mask',
        pictures=('fused', 'mask', 'rgb'),
    )
    record, _ = rig.run(rig.task(bag, folder / 'out', opts))
    return folder / 'out', record


@pytest.fixture(scope='module')
def bag(whole: tuple[Path, RunRecord]) -> dict[str, list[tuple[int, Any]]]:
    return rig.read_bag(whole[0] / 'bag')


def expected() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Fused picture, mask and 8-bit thermal picture of each pair, by the AGC and the model."""
    agc, found = Agc(), []
    for number in range(COUNT):
        color, heat = rig.pictures(number)
        grey = agc.apply(heat, ThermalConfig(), rig.START + number * rig.PERIOD + 10**6)
        found.append((*tiny_model.expected(color, grey), grey))
    return found


def pixels(message: Any) -> np.ndarray:
    tail = (3,) if message.encoding == 'rgb8' else ()
    return message.data.reshape(message.height, message.width, *tail)


def test_every_pair_becomes_what_the_model_computes(bag: dict[str, Any]) -> None:
    names = ('fused/image', 'segmentation/mask', 'thermal/image')
    for name, index in zip(names, range(3), strict=True):
        rows = bag[f'/fusion/{name}']
        assert len(rows) == COUNT
        for (_, message), pair, number in zip(rows, expected(), range(COUNT), strict=True):
            np.testing.assert_array_equal(pixels(message), pair[index])
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            assert (stamp, message.header.frame_id) == (rig.START + number * rig.PERIOD, 'rgb')


def test_all_topics_of_the_node_are_there(bag: dict[str, Any]) -> None:
    raw = {topic.name.replace('~', '/fusion') for topic in PICTURES.values()}
    small = {f'/fusion{PICTURES[name].name[1:]}/compressed' for name in PICTURES
             if PICTURES[name].compressed}  # fmt: skip
    others = {'/fusion/fused/camera_info', '/fusion/segmentation/label_info', '/diagnostics'}
    originals = {rig.COLOR, rig.THERMAL, rig.INFO, rig.NOTE}
    assert set(bag) == raw | small | others | originals
    (label,) = bag['/fusion/segmentation/label_info']
    assert [c.class_name for c in label[1].class_map] == [c.name for c in tiny_model.CLASSES]
    assert all(len(bag[topic]) == COUNT for topic in raw | small)
    np.testing.assert_array_equal(
        decode_visible(bag['/fusion/segmentation/color_mask/compressed'][0][1]),
        pixels(bag['/fusion/segmentation/color_mask'][0][1]),
    )


def test_camera_info_is_that_of_the_picture_though_it_came_later(bag: dict[str, Any]) -> None:
    for (_, info), (_, fused) in zip(
        bag['/fusion/fused/camera_info'], bag['/fusion/fused/image'], strict=True
    ):
        assert info.header == fused.header
        stamp = info.header.stamp.sec * 10**9 + info.header.stamp.nanosec
        assert info.k[0] == 100.0 + stamp % 997


def test_diagnostics_hold_the_nodes_keys(bag: dict[str, Any]) -> None:
    _, last = bag['/diagnostics'][-1]
    values = {item.key: item.value for item in last.status[0].values}
    assert last.status[0].name == '/fusion: fusion'
    assert values['pairs.fused'] == str(COUNT)
    assert values['visible.dropped.no_partner'] == '1'
    assert values['visible.rate_hz'] != 'nan', 'rates are those of the recording'


def test_originals_are_copied_byte_by_byte(whole: tuple[Path, RunRecord]) -> None:
    ours = ('/fusion', '/diagnostics')
    copied = [row for row in rig.raw_bag(whole[0] / 'bag') if not row[0].startswith(ours)]
    assert copied == rig.raw_bag(whole[0].parent / 'in')


def test_no_frame_is_unaccounted_for(whole: tuple[Path, RunRecord]) -> None:
    folder, record = whole
    counts = record.counts
    assert (record.state, record.exit_code) == ('done', 0), record.message
    assert counts.visible.balanced
    assert counts.thermal.balanced
    assert (counts.visible.received, counts.thermal.received) == (COUNT + 1, COUNT)
    assert (counts.pairs, counts.fused) == (COUNT, COUNT)
    assert counts.visible.dropped == {'no_partner': 1}
    (drop,) = read_drops(folder)
    assert (drop.stamp_ns, drop.camera, drop.reason) == (LONE, 'visible', 'no_partner')


def test_the_tables_tell_each_pair(whole: tuple[Path, RunRecord]) -> None:
    folder, record = whole
    rows = list(read_frames(folder))
    assert [row.number for row in rows] == list(range(COUNT))
    assert [row.stamp_ns - rig.START for row in rows] == [n * rig.PERIOD for n in range(COUNT)]
    assert all(row.skew_ms == -1.0 and row.kind == 'pair' for row in rows)
    assert all(tuple(row.times_ms) == STAGES == record.stages for row in rows)
    assert all(row.agc_low and row.agc_high and row.agc_low < row.agc_high for row in rows)
    for row, (_, mask, _) in zip(rows, expected(), strict=True):
        shares = [float((mask == number).mean()) for number in range(3)]
        assert row.shares == pytest.approx(shares, abs=1e-6)


def test_run_json_tells_what_was_run(whole: tuple[Path, RunRecord]) -> None:
    folder, record = whole
    assert RunRecord.read(folder) == record
    assert record.recording.topics['thermal'] == rig.THERMAL
    assert len(record.recording.fingerprint) == 64
    assert record.recording.messages == 4 * COUNT + 1
    assert record.model is not None
    assert len(record.model.sha256) == 64
    assert record.parameters['sync.slop'] == 0.02
    assert {'paif_ros', 'onnxruntime', 'rosbags', 'numpy', 'python'} <= set(record.versions)
    assert record.outputs == {'bag': 'bag', 'video': 'video.mp4', 'pictures': 'png'}
    assert {p.name for p in folder.iterdir()} == {
        'bag', 'video.mp4', 'png', 'run.json', 'frames.csv', 'drops.csv',
    }  # fmt: skip


def test_the_film_shows_the_mosaic_at_the_recordings_pace(whole: tuple[Path, RunRecord]) -> None:
    with av.open(str(whole[0] / 'video.mp4')) as film:
        frames = list(film.decode(video=0))
    assert len(frames) == COUNT
    times = [float(frame.pts * frame.time_base) for frame in frames]
    assert times == pytest.approx([number / 10 for number in range(COUNT)], abs=2e-3)
    picture = frames[3].to_ndarray(format='rgb24').astype(int)
    assert picture.shape == (2 * rig.SIZE[0], 2 * rig.SIZE[1], 3)
    fused, _, grey = expected()[3]
    height, width = rig.SIZE
    # Noise suffers from H.264; its mean does not.
    assert picture[height:, :width].mean() == pytest.approx(fused.mean(), abs=4)
    assert picture[:height, width:].mean() == pytest.approx(grey.mean(), abs=4)


def test_the_pictures_are_png_files(whole: tuple[Path, RunRecord]) -> None:
    for number, (fused, mask, _) in enumerate(expected()):
        name = f'{rig.START + number * rig.PERIOD:019}.png'
        read = cv2.imread(str(whole[0] / 'png' / 'fused' / name))
        np.testing.assert_array_equal(read[..., ::-1], fused)
        read = cv2.imread(str(whole[0] / 'png' / 'mask' / name), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read, mask)
        read = cv2.imread(str(whole[0] / 'png' / 'rgb' / name))
        np.testing.assert_array_equal(read[..., ::-1], rig.pictures(number)[0])


def test_sqlite_and_compressed_bags_hold_the_same(
    whole: tuple[Path, RunRecord], tmp_path: Path
) -> None:
    model, recorded = whole[0].parent / 'tiny.onnx', whole[0].parent / 'in'
    found = []
    for name, storage, compress in (('a', 'mcap', True), ('b', 'sqlite3', False)):
        opts = rig.options(model, storage=storage, compress=compress)
        record, _ = rig.run(rig.task(recorded, tmp_path / name, opts))
        assert record.exit_code == 0
        found.append(rig.raw_bag(tmp_path / name / 'bag'))
        metadata = yaml.safe_load((tmp_path / name / 'bag' / 'metadata.yaml').read_text())
        assert metadata['rosbag2_bagfile_information']['storage_identifier'] == storage
    own = [row for row in rig.raw_bag(whole[0] / 'bag') if row[0] in {r[0] for r in found[0]}]
    assert found[0] == found[1] == own


def test_more_pictures_than_the_model_gives_are_told(tmp_path: Path, tiny: Path) -> None:
    """A model without confidence leaves that topic out and does everything else."""
    bag = rig.write_bag(tmp_path / 'in', rig.recording(2))
    opts = rig.options(tiny, topics=('fused', 'confidence'), mosaic='confidence,validity')
    record, _ = rig.run(rig.task(bag, tmp_path / 'out', opts))
    assert record.exit_code == 0
    assert '/fusion/segmentation/confidence' not in rig.read_bag(tmp_path / 'out' / 'bag')


def test_a_failing_engine_ends_the_run(tmp_path: Path) -> None:
    """Frames on which the network fails are counted; many in a row end the run."""
    model = tiny_model.write(tmp_path / 'tiny.onnx', poison=True)
    bag = rig.write_bag(tmp_path / 'in', rig.recording(6))
    opts = rig.options(model, 'engine.max_failures:=4')
    record, said = rig.run(rig.task(bag, tmp_path / 'out', opts))
    assert (record.state, record.exit_code) == ('failed', 1)
    assert '4 inferences in a row failed' in record.message
    assert record.counts.visible.dropped == {'engine_error': 4}
    opts = rig.options(model)
    record, said = rig.run(rig.task(bag, tmp_path / 'other', opts))
    assert (record.state, record.exit_code) == ('done', 1), 'nothing was fused'
    assert record.counts.lost == {'engine_error': 6}
    assert any(line.startswith('error: pair dropped') for line in said)


def test_a_camera_that_stopped_is_judged_by_the_recordings_time(
    tmp_path: Path, tiny: Path
) -> None:
    """As the node did on the robot: two seconds of silence, however fast the replay is."""
    rows = rig.recording(40)
    rows = [row for row in rows if row[0] == rig.COLOR or row[2] < rig.START + 4 * rig.PERIOD]
    bag = rig.write_bag(tmp_path / 'in', rows)
    opts = rig.options(tiny, 'sync.on_missing:=degrade')
    record, said = rig.run(rig.task(bag, tmp_path / 'out', opts))
    counts = record.counts
    # The last thermal frame is of 0.301 s, so from 2.4 s on RGB frames are used alone.
    assert (counts.fused, counts.singles, counts.visible.single) == (4, 16, 16)
    assert counts.visible.dropped == {'overflow': 10, 'no_partner': 10}
    assert counts.visible.balanced
    assert any('thermal camera stopped' in line for line in said)
    rows_made = list(read_frames(tmp_path / 'out'))
    assert [row.kind for row in rows_made] == ['pair'] * 4 + ['visible_alone'] * 16
    assert rows_made[-1].thermal_ns is None
    assert record.exit_code == 3


def test_what_waits_at_the_end_is_paired(tmp_path: Path, tiny: Path) -> None:
    """The node would wait for a nearer frame, of which none can come any more."""
    rows = rig.recording(2, skew=-(10**7))
    bag = rig.write_bag(tmp_path / 'in', sorted(rows, key=lambda row: row[2]))
    record, _ = rig.run(rig.task(bag, tmp_path / 'out', rig.options(tiny)))
    assert (record.counts.fused, record.exit_code) == (2, 0)
    assert record.counts.thermal.dropped == {}
