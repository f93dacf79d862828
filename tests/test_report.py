"""The report of a run: its numbers, its page, its key frames, bags, and what can go wrong."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import report_runs as runs

pytest.importorskip('matplotlib', reason='pip install -r requirements/report.txt')
pytest.importorskip('jinja2', reason='pip install -r requirements/report.txt')

from paif_ros.replay.record import DROPS, FRAMES, RUN, RowWriter, frame_header, read_frames
from paif_ros.report.__main__ import main
from paif_ros.report.bins import band, edges, rate
from paif_ros.report.key_frames import KeyFrames, merge_key_frames
from paif_ros.report.make import make_report, run_of
from paif_ros.report.of_replay import run_of_replay
from paif_ros.report.page import ReportError, html
from paif_ros.report.run import Line, Spread, Verdict
from paif_ros.report.selection import EVEN, Selection
from paif_ros.report.words import plain

COUNT = 240


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with key frames, as paif-replay would leave it."""
    folder = runs.write_run(tmp_path_factory.mktemp('runs') / 'drive', COUNT)
    sink = KeyFrames()
    sink.begin(runs.beginning(folder))
    for row in runs.rows(COUNT):
        sink.take(runs.fused(row))
    sink.checkpoint()
    sink.close()
    return folder


@pytest.fixture(scope='module')
def page(folder: Path) -> str:
    return make_report(folder).read_text('utf-8')


class Parts(HTMLParser):
    """Everything of a page that could load something, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ('src', 'href', 'xlink:href', 'srcset', 'action', 'data', 'poster'):
                self.addresses.append(value or '')
            if name == 'id':
                self.ids.append(value or '')
            assert not name.startswith('on'), f'{tag} has {name}'
        self._cell = tag in ('td', 'th')
        if tag == 'tr':
            self.rows.append([])
        elif self._cell and self.rows:
            self.rows[-1].append('')

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ('td', 'th')

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._cell and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def row(self, name: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == name)[1:]


def test_the_page_needs_nothing_else(page: str) -> None:
    parts = Parts(page)
    assert 'script' not in parts.tags
    assert parts.tags.count('svg') == 7
    assert parts.addresses, 'the key frames'
    assert all(address.startswith(('data:', '#')) for address in parts.addresses)
    assert not re.search(r'https?:', page)
    assert '@import' not in page
    assert all(found.startswith('#') for found in re.findall(r'url\(([^)]*)\)', page))
    assert len(parts.ids) == len(set(parts.ids)), 'each id once, though there are seven drawings'
    assert "default-src 'none'" in page
    assert len(page) < 1_500_000


def test_what_a_recording_is_called_is_no_html(page: str) -> None:
    assert runs.NASTY in ''.join(Parts(page).words)
    assert runs.NASTY not in page


def test_the_drawings_follow_the_theme(page: str) -> None:
    drawings = re.findall(r'<svg.*?</svg>', page, re.DOTALL)
    used = {color for svg in drawings for color in re.findall(r'#[0-9a-f]{6}\b', svg)}
    classes = {'#{:02x}{:02x}{:02x}'.format(*label.color) for label in runs.CLASSES[1:]}
    assert used <= classes, 'only the classes of the mask have colours of their own'
    variables = set(re.findall(r'var\((--\w+)\)', ''.join(drawings)))
    light, dark = (set(re.findall(r'(--\w+):', part)) for part in page.split('@media', 2)[:2])
    assert variables <= light & dark


def test_the_numbers_are_those_of_the_run(folder: Path, page: str) -> None:
    parts, rows = Parts(page), runs.rows(COUNT)
    totals = sorted(sum(row.times_ms.values()) for row in rows)
    # Nearest rank: of 240 values the 120th, 216th and 238th.
    expected = [totals[119], totals[215], totals[237], totals[239]]
    assert [float(cell) for cell in parts.row('total')] == pytest.approx(expected, rel=0.01)
    inference = sorted(row.times_ms['inference'] for row in rows)
    assert float(parts.row('inference')[0]) == pytest.approx(inference[119], rel=0.01)
    lost = runs.drops(COUNT)
    for reason in ('no_partner', 'malformed'):
        counts = [
            sum((drop.camera, drop.reason) == (camera, reason) for drop in lost)
            for camera in ('visible', 'thermal')
        ]
        assert [int(cell) for cell in parts.row(reason.replace('_', ' '))] == counts
    for value in ('ab' * 32, 'cd' * 32, 'ef' * 32, 'the last chunk is cut short'):
        assert value in page
    assert parts.row('sync.slop') == ['0.05']
    assert '1 changed' in page
    assert 'done, with loss' in page
    run = run_of_replay(folder)
    assert run.verdict is Verdict.WARN
    assert sum(drop.total for drop in run.drops) == len(lost)
    received = {line.name: line.values * np.diff(edges(run.duration)) for line in run.rates}
    assert received['results'].sum() == pytest.approx(COUNT, abs=1.0)
    visible = COUNT + sum(drop.camera == 'visible' for drop in lost)
    assert received['RGB in'].sum() == pytest.approx(visible, abs=1.0)
    assert run.areas is not None
    assert run.areas.shares.sum(axis=1) == pytest.approx(1.0, abs=1e-4)
    assert run.agc[0].values[0] == pytest.approx(rows[0].agc_low)


def test_key_frames_are_those_chosen(folder: Path) -> None:
    frames = run_of_replay(folder).key_frames
    assert EVEN // 2 <= len(frames) <= EVEN + 5
    rows = runs.rows(COUNT)
    slowest = max(rows, key=lambda row: sum(row.times_ms.values()))
    (shown,) = [frame for frame in frames if 'slowest' in frame.caption]
    assert shown.seconds == pytest.approx((slowest.log_ns - runs.START) / 1e9, abs=1e-3)
    picture = cv2.imdecode(np.frombuffer(shown.jpeg, np.uint8), cv2.IMREAD_COLOR)
    shade = slowest.number * 7 % 256
    width = picture.shape[1]
    tiles = [picture[10, round((place + 0.5) * width / 4), 0] for place in range(4)]
    expected = [shade, 255 - shade, shade // 2 + (255 - shade) // 2, shade]
    assert np.abs(np.array(tiles, float) - expected).max() < 6
    captions = ' '.join(frame.caption for frame in frames)
    assert all(word in captions for word in ('largest skew', 'most car', 'most person'))
    assert 'bike' not in captions, 'there was none'


def test_key_frames_go_on_after_a_crash(tmp_path: Path) -> None:
    rows = runs.rows(60)
    first = KeyFrames()
    first.begin(runs.beginning(tmp_path))
    for row in rows[:30]:
        first.take(runs.fused(row))
    first.checkpoint()  # part 0 is safe
    for row in rows[30:45]:
        first.take(runs.fused(row))  # part 1 is lost
    second = KeyFrames()
    second.begin(runs.beginning(tmp_path, part=1))
    for row in rows[30:]:
        second.take(runs.fused(row))
    second.checkpoint()
    whole = KeyFrames()
    (tmp_path / 'whole').mkdir()
    whole.begin(runs.beginning(tmp_path / 'whole'))
    for row in rows:
        whole.take(runs.fused(row))
    whole.checkpoint()
    resumed, once = (
        {frame['number']: frame['records'] for frame in json.loads(path.read_text())['frames']}
        for path in (
            tmp_path / 'key_frames/index.json',
            tmp_path / 'whole/key_frames/index.json',
        )
    )
    assert {n for n in resumed if resumed[n]} == {n for n in once if once[n]}, 'same records'
    assert set(once) <= set(resumed) | set(range(0, 60, 4))
    assert len(list((tmp_path / 'key_frames').glob('*.jpg'))) == len(resumed)


def test_key_frames_of_stretches_are_joined(tmp_path: Path) -> None:
    """As `paif-replay --workers` leaves them: numbers begin anew in each stretch."""
    parts = []
    for number, count in enumerate((50, 30)):
        part = runs.write_run(tmp_path / 'parts' / str(number), count)
        sink = KeyFrames()
        sink.begin(runs.beginning(part))
        for row in runs.rows(count):
            sink.take(runs.fused(row))
        sink.checkpoint()
        parts.append(part)
    whole = tmp_path
    merge_key_frames(parts, whole)
    frames = json.loads((whole / 'key_frames/index.json').read_text())['frames']
    slowest = [frame['number'] for frame in frames if 'slowest' in frame['records']]
    expected = max(runs.rows(50), key=lambda row: sum(row.times_ms.values())).number
    assert slowest == [expected]
    numbers = [frame['number'] for frame in frames]
    assert numbers == sorted(set(numbers))
    assert any(number >= 50 for number in numbers), 'of the second stretch too'
    assert len(numbers) <= EVEN + 4
    names = {path.name for path in (whole / 'key_frames').glob('*.jpg')}
    assert names == {f'{number:08d}.jpg' for number in numbers}


@pytest.mark.parametrize('count', [1, 5, 12, 13, 100, 1000])
def test_the_selection_stays_small_and_even(count: int) -> None:
    selection = Selection()
    for number in range(count):
        selection.offer(number, {'largest': float(number % 700), 'none': 0.0})
    assert len(selection.even) <= EVEN
    assert len(selection.even) >= min(count, EVEN // 2)
    assert len(set(np.diff(selection.even))) <= 1
    assert selection.even[0] == 0
    best = max(range(count), key=lambda n: n % 700)
    assert selection.records.get('largest', (0.0, 0))[1] == best
    assert 'none' not in selection.records


def test_a_run_of_nothing_and_one_that_goes_on(tmp_path: Path) -> None:
    empty = runs.write_run(tmp_path / 'empty', 0)
    text = html(run_of_replay(empty))
    assert '<svg' not in text
    assert 'None.' in text
    going = runs.write_run(tmp_path / 'going', 8, state='running')
    with (going / FRAMES).open('a') as file:
        file.write('8,pair,17000')  # cut short, as by kill -9
    run = run_of_replay(going)
    assert run.verdict is Verdict.WARN
    assert 'paif-replay' in run.message
    assert next(s for s in run.latency if s.name == 'total').samples.size == 8
    assert '<svg' in html(run)


def test_one_camera_alone_without_masks(tmp_path: Path) -> None:
    from dataclasses import replace

    from paif_ros.replay.record import frame_cells

    folder = runs.write_run(tmp_path, 6)
    writer = RowWriter(folder / FRAMES, frame_header(len(runs.CLASSES)))
    for row in runs.rows(6):
        alone = replace(
            row, kind='visible_alone', thermal_ns=None, skew_ms=None, agc_low=None, agc_high=None,
            shares=(), times_ms={'decode': 1.0},
        )  # fmt: skip
        writer.write(frame_cells(alone, len(runs.CLASSES)))
    writer.close()
    assert next(read_frames(folder)).shares == ()
    run = run_of_replay(folder)
    assert (run.areas, run.agc, run.skew_lines) == (None, (), ())
    assert 'Class areas' not in html(run)


@pytest.mark.parametrize('name', [RUN, FRAMES, DROPS])
def test_a_file_that_is_missing_is_named(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = runs.write_run(tmp_path, 3)
    (folder / name).unlink()
    code, said = report(capsys, folder)
    assert code == 1
    assert said.startswith('paif-report: ')
    assert (name if name != RUN else str(folder)) in said


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run the command in this process. Returns its exit code and what it printed."""
    with pytest.raises(SystemExit) as ending:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(ending.value.code or 0), said.out + said.err


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / 'x.html'
    assert report(capsys, folder, '-o', out) == (0, f'wrote {out}\n')
    assert out.read_text('utf-8').startswith('<!DOCTYPE html>')
    code, said = report(capsys, tmp_path / 'nowhere')
    assert code == 1
    assert 'paif-replay' in said
    code, said = report(capsys, folder, '-o', tmp_path / 'no' / 'x.html')
    assert code == 1
    assert '-o' in said
    assert report(capsys)[0] == 2
    assert report(capsys, '--live', folder)[0] == 2
    code, said = report(capsys, '--help')
    assert code == 0
    assert 'examples:' in said


def test_a_missing_library_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from paif_ros.report.page import check_libraries

    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ReportError, match='pip install jinja2 matplotlib'):
        check_libraries()


def test_spreads_are_nearest_ranks() -> None:
    spread = Spread.of('x', np.array([4.0, 1.0, np.nan, 2.0, 3.0]))
    assert (spread.p50, spread.p90, spread.p99, spread.most) == (2.0, 4.0, 4.0, 4.0)
    assert np.isnan(Spread.of('none', np.array([np.nan])).p50)


def test_long_runs_are_drawn_with_few_points_and_keep_their_peaks() -> None:
    seconds = np.arange(100_000) / 10
    values = np.ones(100_000)
    values[54_321] = 900.0
    drawn = band(Line('x', seconds, values))
    assert drawn.seconds.size <= 300
    assert drawn.most.max() == 900.0
    assert drawn.middle.max() == 1.0
    line = rate('x', seconds, 10_000.0)
    assert line.values == pytest.approx(10.0, abs=0.5)


def test_a_bag_is_reported_on(tmp_path: Path) -> None:
    from report_bags import write_bag

    bag = write_bag(tmp_path / 'bag')
    run = run_of(bag)
    assert run.title == '/fusion'
    # 2 no_partner each second from the second status on, and a node that was started anew.
    (drop,) = [d for d in run.drops if d.camera == 'thermal']
    assert (drop.reason, drop.total) == ('no_partner', 2 * 8 + 1)
    assert run.areas is not None
    assert run.areas.shares[0] == pytest.approx([0.75, 0.25, 0.0])
    assert [label.name for label in run.areas.classes] == ['background', 'car', 'person']
    assert run.verdict is Verdict.BAD
    assert 'ERROR 10 %' in run.message
    assert 1 <= len(run.key_frames) <= 12
    text = html(run)
    assert 'camera stopped &lt;b&gt;' in text
    with pytest.raises(ReportError, match='/fusion'):
        run_of(bag, '/other')


@pytest.mark.parametrize(
    ('value', 'text'),
    [(True, 'yes'), (False, 'no'), (['fused', 'mask'], 'fused, mask'), ([], '-'), (None, '-'),
     ('', '-'), (0, '0'), (0.5, '0.5')],
)  # fmt: skip
def test_values_of_options_in_words(value: object, text: str) -> None:
    assert plain(value) == text
