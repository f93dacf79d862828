"""What the demo says and shows, from made-up counts: no graph needed."""

from __future__ import annotations

import copy
import json
import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from demo import figure
from demo.crew import Crew, CrewError, free_domain, graph_environment
from demo.film import Film
from demo.moments import Moment, Stretch, moments
from demo.pictures import MARGIN, SHEET_WIDTH, choose, mosaic, sheet, sheet_row
from demo.report import make_report, table
from demo.run import missing_modules
from demo.stage import find_model
from demo.topics import FUSED, OVERLAY
from demo.wire import restamp, stamp_of
from scenes.bag import COLOR, IMAGE, THERMAL, Section, write_bag
from scenes.clips import drawn_clip

ROOT = Path(__file__).resolve().parent.parent
STEP = 100_000_000  # 10 Hz
T0 = 1_700_000_000_000_000_000
DELAY = 40_000_000


def made_up(sent: int = 10, every: int = 2) -> tuple[dict, dict]:
    """Return the facts of a run in which one in `every` pairs is fused, the others superseded."""
    stamps = [T0 + i * STEP for i in range(sent)]
    fused = stamps[::every]
    lost = sent - len(fused)
    values = {
        'pairs.made': sent, 'pairs.fused': len(fused), 'pairs.pending': 0,
        'pairs.superseded': lost, 'pairs.malformed': 0, 'pairs.fused_rate_hz': 'nan',
        'model.network': 'paif', 'model.variant': 'small', 'model.input_size': '64x48',
        'engine.backend': 'onnxruntime', 'engine.provider': 'CPU',
    }  # fmt: skip
    for camera in ('visible', 'thermal'):
        values |= {f'{camera}.received': sent, f'{camera}.paired': len(fused)}
        values |= {f'{camera}.pending': 0, f'{camera}.dropped.superseded': lost}
        values |= {f'{camera}.dropped.no_partner': 0, f'{camera}.rate_hz': '10.00'}
    stages = ('pairing', 'waiting', 'decode', 'inference', 'convert', 'publish', 'total')
    for number, stage in enumerate(stages):
        values |= {
            f'latency.{stage}.p50_ms': f'{number}.5',
            f'latency.{stage}.p99_ms': f'{number}9',
        }
    played = {
        'stamps': {COLOR: stamps, THERMAL: [s + 1_000_000 for s in stamps]},
        'late_p99_ms': 1.0,
    }
    recorded = {
        'arrivals': {FUSED: [[stamp, stamp + DELAY] for stamp in fused]},
        'diagnostics': {'values': {key: str(value) for key, value in values.items()}},
    }
    return played, recorded


def test_numbers() -> None:
    report = make_report('a clip', 10.0, *made_up())
    assert (report.pairs_in, report.fused) == (10, 5)
    assert report.fused_hz == pytest.approx(5.0)
    assert report.dropped_pairs == {'superseded': 5}
    assert report.dropped_frames == {}
    assert report.latency['end to end'].p50 == pytest.approx(40.0)
    assert (report.latency['inference'].p50, report.latency['inference'].p99) == (3.5, 39.0)
    assert report.ok
    assert len(report.checks) == 7


def test_json_holds_everything_and_no_nan() -> None:
    played, recorded = made_up()
    del recorded['diagnostics']['values']['latency.publish.p50_ms']
    facts = json.loads(
        make_report('a clip', 10.0, played, recorded).to_json(), parse_constant=pytest.fail
    )
    assert facts['latency']['publish']['p50'] is None
    assert facts['latency']['total']['p99'] == 69.0
    assert facts['ok'] is True
    assert facts['checks'][0] == {
        'text': 'pairs the node fused, pictures the recorder received',
        'expected': 5, 'found': 5, 'slack': 0, 'ok': True,
    }  # fmt: skip


def test_table_shows_counts_stages_and_slowness() -> None:
    played, recorded = made_up()
    recorded['diagnostics']['values']['latency.inference.p50_ms'] = '170.0'
    text = table(make_report('a clip', 10.0, played, recorded))
    for words in (
        'pairs in',
        'fused             5     5.00 Hz',
        'dropped           5   superseded',
    ):
        assert words in text
    for stage in ('pairing', 'inference', 'publish', 'total', 'end to end'):
        assert any(line.startswith(stage) for line in text.splitlines())
    assert 'slower than the cameras' in text
    assert '5 of 10 pairs' in text
    assert 'DIFFERS' not in text
    quick = table(make_report('a clip', 10.0, *made_up(every=1)))
    assert 'Note' not in quick
    fast_but_busy = table(make_report('a clip', 10.0, *made_up()))
    assert 'slower' not in fast_but_busy
    assert '5 of 10 pairs were dropped for newer ones' in fast_but_busy
    assert 'dropped           0' in quick


@pytest.mark.parametrize(
    ('key', 'line'),
    [
        ('pairs.fused', 'pairs the node fused'),
        ('pairs.made', 'pairs made'),
        ('visible.received', 'visible pictures sent'),
        ('thermal.paired', 'thermal received'),
    ],
)
def test_counts_that_do_not_agree_are_shown(key: str, line: str) -> None:
    played, recorded = made_up()
    values = recorded['diagnostics']['values']
    values[key] = str(int(values[key]) - 1)
    report = make_report('a clip', 10.0, played, recorded)
    assert not report.ok
    assert [row for row in table(report).splitlines() if row.startswith(line) and 'DIFFERS' in row]


def test_a_few_pictures_may_be_lost_on_the_way_but_never_silently() -> None:
    played, recorded = made_up()
    for topic, stamps in played['stamps'].items():
        # 20 more sent and received, of which the node got all but one thermal picture.
        played['stamps'][topic] = [*stamps, *range(1, 21)]
    values = recorded['diagnostics']['values']
    values |= {'visible.received': '30', 'visible.dropped.no_partner': '20'}
    values |= {'thermal.received': '29', 'thermal.dropped.no_partner': '19'}
    report = make_report('', 10.0, played, recorded)
    assert report.ok
    assert 'thermal pictures sent, received by the node: 1 LOST' in table(report)
    assert 'lost on the way' in table(report)
    values |= {'thermal.received': '28', 'thermal.dropped.no_partner': '18'}
    assert not make_report('', 10.0, played, recorded).ok


def test_results_for_unknown_stamps_are_noticed() -> None:
    played, recorded = made_up()
    recorded['arrivals'][FUSED][1][0] += 1
    assert [c.text for c in make_report('', 10.0, played, recorded).checks if not c.ok] == [
        'fused pictures, those with the stamp of a sent one'
    ]


def test_lost_and_lone_frames() -> None:
    played, recorded = made_up()
    values = recorded['diagnostics']['values']
    values |= {'thermal.received': '9', 'thermal.dropped.superseded': '4'}  # one never arrived
    values |= {'visible.dropped.no_partner': '1', 'visible.dropped.superseded': '4'}
    values |= {'pairs.made': '9', 'pairs.superseded': '4'}
    report = make_report('', 10.0, played, recorded)
    assert report.dropped_frames == {'visible: no_partner': 1}
    assert 'pictures were lost on the way' in ' '.join(report.notes)


def test_a_silent_node_still_gives_a_report() -> None:
    played, recorded = made_up()
    silent = {'arrivals': {}, 'diagnostics': {}}
    report = make_report('', 10.0, played, silent)
    assert not report.ok
    assert 'no diagnostics' in table(report)
    json.loads(report.to_json())
    assert make_report('', 10.0, played, copy.deepcopy(recorded)).ok


def test_choice_of_moments() -> None:
    sections = (Section('day', 0, 10), Section('night', 10, 10), Section('smoke', 20, 10))
    assert choose(sections, range(30)) == (2, 7, 12, 17, 22, 27)
    assert choose(sections, {0, 9, 11}) == (0, 9, 11)  # one of the night, none of the smoke
    assert choose(sections, set()) == ()


def moment(index: int, fused: bool, value: int = 90) -> Moment:
    picture = np.full((96, 128, 3), value, np.uint8)
    result = picture + 40 if fused else None
    return Moment(index, 'night', picture, picture[..., 0], result, result)


def test_sheet_has_a_row_for_each_moment() -> None:
    rows = [sheet_row(moment(i, True, 60 * i + 10), 10.0) for i in range(3)]
    picture = sheet(rows)
    assert picture.shape == (24 + 3 * 240, 4 * SHEET_WIDTH, 3)
    # The columns hold what their headings say: colour, thermal, fused, overlay.
    middle = picture[24 + 240 + 120]
    assert [int(middle[160 + SHEET_WIDTH * c, 0]) for c in range(4)] == [70, 70, 110, 110]
    with pytest.raises(ValueError, match='no pair was fused'):
        sheet([])


def test_film_frames_say_when_a_pair_was_dropped() -> None:
    fresh = mosaic(moment(4, True), None, 10.0)
    assert fresh.shape == (192, 256, 3)
    old = mosaic(moment(5, False), moment(4, True), 10.0)
    red = (old[..., 0].astype(int) - old[..., 1] > 60).sum()
    assert red > (fresh[..., 0].astype(int) - fresh[..., 1] > 60).sum()
    assert old[180, 20, 0] == 130  # the last result is still shown
    assert mosaic(moment(0, False), None, 10.0)[180, 20, 0] == 24  # nothing yet


@pytest.mark.parametrize('h264', [True, False])
def test_film_can_be_read_back(tmp_path: Path, h264: bool) -> None:
    if h264:
        pytest.importorskip('imageio_ffmpeg')
    with Film(tmp_path / 'a.mp4', 10.0, h264) as film:
        for index in range(12):
            film.add(np.full((96, 128, 3), (20 * index, 0, 0), np.uint8))
    capture = cv2.VideoCapture(str(tmp_path / 'a.mp4'))
    frames = []
    while (got := capture.read())[0]:
        frames.append(got[1])
    assert len(frames) == 12
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    assert frames[10][48, 64, 2] > 150  # red stayed red
    assert frames[10][48, 64, 0] < 60


def test_stretch_fills_the_range_and_does_not_flicker() -> None:
    rng = np.random.default_rng(0)
    scene = rng.normal(29000, 300, (60, 80)).astype(np.uint16)
    stretch = Stretch()
    first = stretch(scene)
    assert first.min() == 0
    assert first.max() == 255
    hot = scene.copy()
    hot[:12] += 300  # a warm thing comes in
    assert abs(int(np.median(stretch(hot)[20:])) - int(np.median(first[20:]))) < 12
    assert np.median(stretch(scene + np.uint16(3000))) < 200  # another scene: a range of its own


def test_moments_match_results_by_stamp(tmp_path: Path) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    from scenes.bag import pair_messages
    from scenes.clips import Shot

    clip = drawn_clip(['day', 'night'], 0.6, 10.0, (64, 96), 0)
    bag = write_bag(tmp_path / 'in', clip)
    stamps = [T0 + i * STEP for i in range(6)]
    store = get_typestore(Stores.ROS2_HUMBLE)
    with Writer(tmp_path / 'out', version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {t: writer.add_connection(t, IMAGE, typestore=store) for t in (FUSED, OVERLAY)}
        for index in (1, 4):
            for extra, (topic, connection) in enumerate(topics.items()):
                shot = Shot(
                    '',
                    np.full((64, 96, 3), 10 * index + extra, np.uint8),
                    np.zeros((64, 96), np.uint8),
                )
                message, _ = pair_messages(store, shot, (stamps[index], 0))
                when = stamps[index] + DELAY + extra
                writer.write(connection, when, store.serialize_cdr(message, IMAGE))
                assert topic == connection.topic
    found = list(moments(bag.path, tmp_path / 'out', stamps, bag.sections))
    assert [m.name for m in found] == ['day'] * 3 + ['night'] * 3
    assert [m.index for m in found if m.fused is not None] == [1, 4]
    assert found[4].fused[0, 0, 0] == 40
    assert found[4].overlay[0, 0, 0] == 41
    for made, shot in zip(found, clip.shots(), strict=True):
        assert np.array_equal(made.visible, shot.visible)


@pytest.mark.parametrize('order', ['<', '>'])
def test_stamps_are_changed_in_place(order: str) -> None:
    raw = (
        bytes([0, order == '<', 0, 0])
        + struct.pack(order + 'iI', 17, 999_999_999)
        + b'frame and so on'
    )
    assert stamp_of(raw) == 17_999_999_999
    new = restamp(raw, T0 + 5)
    assert stamp_of(new) == T0 + 5
    assert (new[:4], new[12:]) == (raw[:4], raw[12:])
    with pytest.raises(ValueError, match='too few'):
        stamp_of(b'\x00\x01\x00')


def test_model_is_found_or_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('demo.stage.MODELS', tmp_path)
    with pytest.raises(FileNotFoundError, match='--model'):
        find_model(None)
    (tmp_path / 'another.onnx').touch()
    assert find_model(None).name == 'another.onnx'
    (tmp_path / 'paif_small.onnx').touch()
    assert find_model(None).name == 'paif_small.onnx'
    with pytest.raises(FileNotFoundError, match='nope'):
        find_model(tmp_path / 'nope.onnx')


def test_missing_modules_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('demo.run.find_spec', lambda name: None if name == 'rosbags' else name)
    assert missing_modules() == ['rosbags (pip install rosbags)']


def test_environment_is_our_own_graph() -> None:
    env = graph_environment({'PATH': '/bin'})
    assert int(env['ROS_DOMAIN_ID']) == free_domain()
    assert env['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert any(value.endswith('fastdds_shm.xml') for value in env.values())
    own = graph_environment({'FASTDDS_DEFAULT_PROFILES_FILE': '/mine.xml'})
    assert own['FASTDDS_DEFAULT_PROFILES_FILE'] == '/mine.xml'
    assert not any(value.endswith('fastdds_shm.xml') for value in own.values())


@pytest.fixture
def crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Crew:
    programs = {
        'stubborn': 'import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n'
        'print("deaf", flush=True)\ntime.sleep(60)\n',
        'failing': 'import sys\nprint("out of luck")\nsys.exit(3)\n',
        'patient': 'import time\ntime.sleep(60)\n',
    }
    for name, text in programs.items():
        (tmp_path / f'{name}.py').write_text(text)
    monkeypatch.setattr('demo.crew.PATIENCE', ((2, 0.3), (15, 1.0), (9, 1.0)))
    return Crew(tmp_path / 'logs', {'PYTHONPATH': str(tmp_path)})


def test_crew_reports_who_failed_and_leaves_nobody(crew: Crew) -> None:
    processes = {}

    def work() -> None:
        with crew:
            crew.start('a', 'patient', [])
            crew.start('b', 'failing', [])
            processes.update(crew._running)
            crew.wait('a', 10.0)

    with pytest.raises(CrewError, match=r'(?s)b ended early with code 3.*out of luck'):
        work()
    assert [process.poll() is not None for process in processes.values()] == [True, True]


def test_crew_ends_the_stubborn_and_does_not_wait_for_ever(crew: Crew) -> None:
    start = time.monotonic()
    processes = {}

    def work() -> None:
        with crew:
            crew.start('a', 'stubborn', [])
            processes.update(crew._running)
            crew.wait('a', 1.0)

    with pytest.raises(CrewError, match='was not done after 1 s'):
        work()
    assert processes['a'].poll() == -15
    assert time.monotonic() - start < 6


@pytest.mark.parametrize(
    ('extra', 'words'), [(['--model', '/nope.onnx'], '/nope.onnx'), (['--data', '/nope'], '/nope')]
)
def test_wrong_arguments_are_told_without_a_traceback(
    tmp_path: Path, extra: list[str], words: str
) -> None:
    model = tmp_path / 'any.onnx'
    model.touch()
    base = [
        sys.executable,
        '-m',
        'demo.run',
        '--out',
        str(tmp_path / 'out'),
        '--model',
        str(model),
    ]
    done = subprocess.run(
        [*base, *extra], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert 'Traceback' not in done.stderr


def test_rows_of_sheets_make_a_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows asked for come in order below one heading; a row too many is named."""
    height = SHEET_WIDTH * 3 // 4
    for name, levels in (('a', (10, 20, 30)), ('b', (200,))):
        sheet = np.zeros((MARGIN + height * len(levels), 8, 3), np.uint8)
        for number, level in enumerate(levels):
            sheet[MARGIN + number * height :][:height] = level
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / 'contact_sheet.png'), sheet)
    out = tmp_path / 'figure.png'
    figure.main([f'{tmp_path / "a"}:1,3', f'{tmp_path / "b"}:1', '--out', str(out)])
    found = cv2.imread(str(out))
    assert found[MARGIN + height // 2 :: height, 0, 0].tolist() == [10, 30, 200]
    for rows in (f'{tmp_path / "b"}:2', f'{tmp_path / "c"}:1'):
        with pytest.raises(SystemExit) as caught:
            figure.main([rows, '--out', str(out)])
        assert caught.value.code == 1
    assert 'has no row 2: choose from 1 to 1' in capsys.readouterr().err
