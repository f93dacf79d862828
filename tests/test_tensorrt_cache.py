"""The engine cache: what was put in comes out whole, or does not come out and says why."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import build_rig
import numpy as np
import pytest
import tensorrt_standin
from build_rig import ORIN, Rig

from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.tensorrt.cache import Cache
from paif_ros.tensorrt.files import replace_file
from paif_ros.tensorrt.fingerprint import Fingerprint, differences
from paif_ros.tensorrt.monitor import BuildStopped

PRINT = Fingerprint(
    'ab' * 32, 'tensorrt', '10.3.0', '12.6', 'Orin', '8.7', 'mixed', ('48x64',), ('a=1', 'b=2')
)
OTHER = replace(PRINT, library_version='11.4.0.106')
PLAN = bytes(np.random.default_rng(0).integers(0, 256, 5000, np.uint8))
REPORT = {'model': 'tiny test mixed', 'precision': 'mixed', 'attempts': []}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / 'deep' / 'cache')
    with cache.lock(PRINT) as held:
        assert held
        cache.install(PRINT, PLAN, REPORT)
    return cache


def side(cache: Cache, fingerprint: Fingerprint = PRINT) -> Path:
    path = cache.path(fingerprint)
    return path.with_name(f'{path.name}.json')


def rewrite(path: Path, change: Callable[[dict], object]) -> None:
    """Change a side file and make its checksum fit again, as somebody with a purpose would."""
    content = json.loads(path.read_text())
    change(content)
    content.pop('sha256')
    text = json.dumps(content, indent=1, sort_keys=True).encode() + b'\n'
    content['sha256'] = hashlib.sha256(text).hexdigest()
    path.write_bytes(json.dumps(content, indent=1, sort_keys=True).encode() + b'\n')


def test_gives_back_what_was_put_in(cache: Cache) -> None:
    kept = cache.read(PRINT)
    assert kept is not None
    assert (kept.plan, kept.fingerprint, kept.report) == (PLAN, PRINT, REPORT)
    assert cache.read(OTHER) is None
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert cache.path(PRINT).stat().st_mode & 0o777 == 0o600
    assert side(cache).stat().st_mode & 0o777 == 0o600


def test_nothing_there_is_no_error(tmp_path: Path) -> None:
    empty = Cache(tmp_path / 'none')
    assert empty.read(PRINT) is None
    assert empty.nearest(PRINT, 'tiny test mixed') == []
    assert not empty.folder.exists()  # reading makes nothing


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    assert Cache().folder == tmp_path / '.cache' / 'paif_ros'


@pytest.mark.parametrize('field', [field.name for field in fields(Fingerprint)])
def test_every_field_makes_another_key_and_is_named(cache: Cache, field: str) -> None:
    value = ('other',) if field in ('shapes', 'flags') else 'other'
    other = replace(PRINT, **{field: value})
    assert other.key() != PRINT.key()
    assert differences(other, PRINT) == [(field, value, getattr(PRINT, field))]
    assert cache.read(other) is None
    # Files renamed to pass for another engine.
    shutil.copy(cache.path(PRINT), cache.path(other))
    shutil.copy(side(cache), side(cache, other))
    with pytest.raises(EngineMismatch) as caught:
        cache.read(other)
    assert caught.value.field == field
    assert caught.value.expected == value
    assert caught.value.found == getattr(PRINT, field)


def test_keys_do_not_depend_on_the_order_of_anything() -> None:
    again = Fingerprint.from_dict(json.loads(json.dumps(PRINT.to_dict(), sort_keys=True)))
    assert again == PRINT
    assert again.key() == PRINT.key()


@pytest.mark.parametrize(
    'values',
    [
        [],
        {},
        PRINT.to_dict() | {'more': 1},
        PRINT.to_dict() | {'flags': 'a'},
        PRINT.to_dict() | {'library': 3},
        PRINT.to_dict() | {'shapes': [1]},
    ],
)
def test_a_fingerprint_that_is_none(values: object) -> None:
    with pytest.raises(EngineMismatch, match='fingerprint'):
        Fingerprint.from_dict(values)


# ---- 1,000 corruptions

Corruption = Callable[[Cache, np.random.Generator], str]


def flip(path: Path, random: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))
    path.write_bytes(data)


def cut(path: Path, random: np.random.Generator) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(random.integers(len(data)))])


def grow(path: Path, random: np.random.Generator) -> None:
    path.write_bytes(path.read_bytes() + random.bytes(int(random.integers(1, 2000))))


def blot(path: Path, random: np.random.Generator) -> None:
    """Zeros in the middle, as a file system leaves them after a power cut."""
    data = bytearray(path.read_bytes())
    start = int(random.integers(len(data)))
    length = int(random.integers(1, 4096))
    data[start : start + length] = bytes(len(data[start : start + length]))
    path.write_bytes(data)


def noise(path: Path, random: np.random.Generator) -> None:
    path.write_bytes(random.bytes(path.stat().st_size))


def shuffle(path: Path, random: np.random.Generator) -> None:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    path.write_bytes(random.permutation(data).tobytes())


def vanish(path: Path, _random: np.random.Generator) -> None:
    path.unlink()


def become_a_folder(path: Path, _random: np.random.Generator) -> None:
    path.unlink()
    path.mkdir()


def become_a_link(path: Path, _random: np.random.Generator) -> None:
    """A link to a good copy, which somebody may exchange later."""
    shutil.copy(path, path.parent / 'elsewhere')
    path.unlink()
    path.symlink_to(path.parent / 'elsewhere')


def become_a_loop(path: Path, _random: np.random.Generator) -> None:
    path.unlink()
    path.symlink_to(path)


def become_a_pipe(path: Path, _random: np.random.Generator) -> None:
    path.unlink()
    os.mkfifo(path)


def become_writable(path: Path, _random: np.random.Generator) -> None:
    path.chmod(0o666)


FILE_CORRUPTIONS = (
    flip, cut, grow, blot, noise, shuffle, vanish, become_a_folder, become_a_link, become_a_loop,
    become_a_pipe, become_writable,
)  # fmt: skip


def test_fault_17_a_thousand_corruptions_never_give_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, 'fsync', lambda _handle: None)  # no power cut here, and a slow disk
    random = np.random.default_rng(20261121)
    seen: Counter[str] = Counter()
    for number in range(1000):
        cache = Cache(tmp_path / str(number))
        with cache.lock(PRINT):
            cache.install(PRINT, PLAN, REPORT)
        corrupt = FILE_CORRUPTIONS[number % len(FILE_CORRUPTIONS)]
        path = cache.path(PRINT) if random.integers(2) else side(cache)
        good = path.read_bytes()
        corrupt(path, random)
        same = path.is_file() and not path.is_symlink() and path.read_bytes() == good
        if same and corrupt is not become_writable:
            continue  # zeros where zeros were
        with pytest.raises((EngineMismatch, EngineError)) as caught:
            cache.read(PRINT)
        if isinstance(caught.value, EngineMismatch):
            assert caught.value.field
            seen[caught.value.field] += 1
        shutil.rmtree(cache.folder)
    assert sum(seen.values()) > 950
    assert {'plan sha256', 'plan size', 'side file', 'side file sha256', 'plan mode'} <= set(seen)


@pytest.mark.parametrize('on_mismatch', ['rebuild', 'refuse'])
def test_corrupted_engines_are_built_again_or_refused(tmp_path: Path, on_mismatch: str) -> None:
    random = np.random.default_rng(5)
    rig = Rig(tmp_path)
    first = rig.prepare()
    assert first.path is not None
    for number, corrupt in enumerate(FILE_CORRUPTIONS):
        for path in (first.path, first.path.with_name(f'{first.path.name}.json')):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        rig.prepare()  # makes it good again
        builds = rig.builds
        path = first.path if number % 2 else first.path.with_name(f'{first.path.name}.json')
        corrupt(path, random)
        if on_mismatch == 'refuse':
            with pytest.raises(EngineMismatch):
                rig.prepare(on_mismatch)
            assert rig.builds == builds
        elif corrupt is not become_a_folder:  # which is not ours to delete
            again = rig.prepare(on_mismatch)
            assert again.plan == first.plan
            assert not again.cached
            assert any('built again now' in notice for notice in rig.notices)
            assert rig.prepare().cached


@pytest.mark.parametrize(
    ('change', 'field'),
    [
        (lambda c: c.update(format=2), 'side file format'),
        (lambda c: c['plan'].update(size=len(PLAN) - 1), 'plan size'),
        (lambda c: c['plan'].update(sha256='0' * 64), 'plan sha256'),
        (lambda c: c.pop('plan'), 'side file'),
        (lambda c: c.update(report=3), 'side file'),
        (lambda c: c['fingerprint'].update(library_version='12.0'), 'library_version'),
        (lambda c: c['fingerprint'].update(device_name='Thor'), 'device_name'),
        (lambda c: c['fingerprint'].pop('flags'), 'fingerprint fields'),
        (lambda c: c['fingerprint'].update(flags='all'), 'fingerprint flags'),
        (lambda c: c['plan'].update(size=1e400), 'side file'),
    ],
)  # fmt: skip
def test_side_files_with_a_checksum_that_fits(cache: Cache, change: Callable, field: str) -> None:
    rewrite(side(cache), change)
    with pytest.raises((EngineMismatch, EngineError)) as caught:
        cache.read(PRINT)
    assert caught.value.field == field


def test_fault_17_a_swapped_pair_of_plans(cache: Cache) -> None:
    with cache.lock(OTHER):
        cache.install(OTHER, PLAN[::-1], REPORT)
    first, second = cache.path(PRINT), cache.path(OTHER)
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)
    for fingerprint in (PRINT, OTHER):
        with pytest.raises(EngineMismatch, match='plan sha256'):
            cache.read(fingerprint)


# ---- whose it is


def test_the_engine_of_another_user_is_not_run(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        os.chown(cache.path(PRINT), 65534, 65534)
        owner = 65534
    else:
        owner = os.geteuid()
        monkeypatch.setattr(os, 'geteuid', lambda: owner + 1)
    with pytest.raises(EngineError, match=f'belongs to user {owner}') as caught:
        cache.read(PRINT)
    assert 'engine is code' in str(caught.value)


def test_the_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip('only root can give a folder away')
    cache = Cache(tmp_path / 'theirs')
    cache.folder.mkdir()
    os.chown(cache.folder, 65534, 65534)
    with pytest.raises(EngineError, match='belongs to user 65534'), cache.lock(PRINT):
        pass
    with pytest.raises(EngineError, match=r'engine\.cache_dir'):
        cache.read(PRINT)


def test_a_folder_open_to_others_is_closed(cache: Cache) -> None:
    cache.folder.chmod(0o777)
    assert cache.read(PRINT) is not None
    assert cache.folder.stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(EngineError, match='no folder'):
        Cache(tmp_path / 'file').read(PRINT)


# ---- no room, no permission


def in_child(work: Callable[[], object]) -> str:
    """Run in a forked process, whose limits and user don't matter to this one."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a lock that another thread held at the fork would hang it for ever
        try:
            text = repr(work())
        except BaseException as err:
            text = f'{type(err).__name__}: {err}'
        os.write(write, text.encode()[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, 'rb') as file:
        text = file.read().decode()
    os.waitpid(child, 0)
    return text


def test_fault_18_full_disk_keeps_what_was_there(cache: Cache) -> None:
    before = {path.name: path.read_bytes() for path in cache.folder.iterdir()}

    def install() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            cache.install(PRINT, PLAN[::-1], REPORT)
        except EngineError as err:
            return str(err)
        return 'installed'

    text = in_child(install)
    assert 'File too large' in text
    assert 'make room or set engine.cache_dir' in text
    assert {path.name: path.read_bytes() for path in cache.folder.iterdir()} == before
    assert cache.read(PRINT) is not None


def test_fault_18_full_disk_still_gives_an_engine(tmp_path: Path) -> None:
    rig = Rig(tmp_path)

    def work() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        prepared = rig.prepare()
        return f'{prepared.path} {len(prepared.plan)} {rig.notices[-1]}'

    text = in_child(work)
    assert text.startswith("'None ")
    assert 'used but not kept' in text
    assert list(rig.cache.folder.glob('*.plan*')) == []
    assert list(rig.cache.folder.glob('.*.part')) == []


def as_nobody(work: Callable[[], object]) -> str:
    """Run as a user whom permissions bind; tests in a container are root."""

    def drop() -> object:
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        return work()

    return in_child(drop)


def test_fault_21_read_only_cache_gives_its_engine(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    first = rig.prepare()
    assert first.path is not None
    # Root's engines may be used by everybody who can read them: an image is built as root.
    rig.cache.folder.chmod(0o700)
    if os.geteuid() == 0:
        for path in (rig.cache.folder, *rig.cache.folder.iterdir()):
            os.chown(path, 65534, 65534)
        for path in (tmp_path, *tmp_path.parents):
            if path.owner() == 'root' and path != Path('/') and path.is_relative_to('/tmp/'):
                path.chmod(0o755)
    rig.cache.folder.chmod(0o500)
    text = as_nobody(lambda: (rig.prepare().cached, rig.prepare('refuse').cached))
    rig.cache.folder.chmod(0o700)
    assert text == '(True, True)'


def test_fault_21_read_only_cache_without_the_engine(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.cache = Cache('/proc/paif_ros')  # where not even root can make a folder
    prepared = rig.prepare()
    assert prepared.path is None
    assert not prepared.cached
    assert 'used but not kept' in rig.notices[-1]
    assert 'next start builds it again' in rig.notices[-1]


# ---- more than one process


def start(folder: Path, where: str) -> subprocess.Popen[str]:
    command = [sys.executable, build_rig.__file__, str(folder), where]
    root = str(Path(__file__).resolve().parents[1])
    environment = {**os.environ, 'PYTHONPATH': root, 'OMP_NUM_THREADS': '1'}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, f'{path} did not appear'
        time.sleep(0.02)


@pytest.mark.parametrize('where', ['build', 'write the plan', 'write the side file'])
def test_fault_20_kill_9_leaves_nothing_that_is_used(tmp_path: Path, where: str) -> None:
    build_rig.make_model(tmp_path)
    process = start(tmp_path, where)
    wait_for(tmp_path / 'hanging')
    process.send_signal(signal.SIGKILL)
    process.wait()
    rig = Rig(tmp_path)
    left = sorted(path.suffix for path in rig.cache.folder.iterdir())
    parts = [path for path in rig.cache.folder.iterdir() if path.suffix == '.part']
    assert '.json' not in left
    assert ('.plan' in left) == (where == 'write the side file')
    assert len(parts) == (0 if where == 'build' else 1)  # it was killed where it was meant to be
    prepared = rig.prepare()
    assert not prepared.cached
    assert [p for p in rig.cache.folder.iterdir() if p.suffix == '.part'] == []
    assert rig.prepare().cached


def test_fault_19_two_builders_at_once_give_one_engine(tmp_path: Path) -> None:
    build_rig.make_model(tmp_path)
    processes = [start(tmp_path, 'slow') for _ in range(3)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    assert sorted(text.split()[0] for text in said) == ['built', 'cached', 'cached']
    assert len(list((tmp_path / 'cache').glob('*.plan'))) == 1
    assert any('another process builds this engine' in text for text in said)


def test_waiting_for_another_process_can_be_given_up(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    notices: list[str] = []
    asked = iter([False, True])
    with (
        cache.lock(PRINT),
        pytest.raises(BuildStopped),
        cache.lock(PRINT, notices.append, lambda: next(asked)),
    ):
        pass
    assert notices == ['another process builds this engine; waiting for it']
    with cache.lock(PRINT, stop=lambda: True) as held:  # free again
        assert held


# ---- replace_file


def test_replace_file_leaves_the_old_one_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'file'
    replace_file(path, b'old')

    def fail(_handle: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(OSError, match='No space'):
        replace_file(path, b'new')
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['file']


def test_fsync_comes_before_rename_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(handle: int) -> None:
        order.append('folder' if os.path.isdir(f'/proc/self/fd/{handle}') else 'file')
        real_fsync(handle)

    def rename(source: str, to: Path) -> None:
        order.append('rename')
        real_replace(source, to)

    monkeypatch.setattr(os, 'fsync', fsync)
    monkeypatch.setattr(os, 'replace', rename)
    replace_file(tmp_path / 'file', b'new')
    assert order == ['file', 'rename', 'folder']


def test_versions_and_devices_of_the_rig_differ() -> None:
    """Else the tests above would compare one thing with itself."""
    assert len(tensorrt_standin.VERSIONS) == 6
    assert ORIN != build_rig.DESKTOP
