"""Keeps engines, and gives out none that is not exactly what was put in.

An engine (a plan file) is code: TensorRT runs what is in it. So the folder belongs to its user
alone (0700), and beside each plan lies a side file with the fingerprint, the size and the SHA-256
of the plan. TensorRT sees a plan only after all of that holds.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.tensorrt.files import replace_file
from paif_ros.tensorrt.fingerprint import ENGINE, Fingerprint, differences
from paif_ros.tensorrt.monitor import BuildStopped

FORMAT = 1  # of the side file
DEFAULT = Path('~/.cache/paif_ros')
MAX_SIDE = 1 << 20  # bytes; a side file has a few thousand
MAX_PLAN = 8 << 30
WAIT = 0.1  # seconds between two looks at a lock


@dataclass(frozen=True)
class Kept:
    """An engine out of the cache.

    Attributes:
        plan: its bytes.
        fingerprint: what it was built from and for.
        report: what was measured when it was built: parity, layers, times.
    """

    plan: bytes
    fingerprint: Fingerprint
    report: dict[str, Any]


class Cache:
    """A folder of engines.

    Args:
        folder: made when it is needed. `~` is the home of the user.
    """

    def __init__(self, folder: Path | str = DEFAULT) -> None:
        self.folder = Path(folder).expanduser()

    def path(self, fingerprint: Fingerprint) -> Path:
        """Return where the plan of a fingerprint is, or would be."""
        return self.folder / f'{fingerprint.key()}.plan'

    def read(self, fingerprint: Fingerprint) -> Kept | None:
        """Return the engine of a fingerprint, None where there is none.

        Raises:
            EngineMismatch: there is one, but something of it is not what it should be: it names
                the field.
            EngineError: the folder or a file is not this user's alone, or can't be read.
        """
        path = self.path(fingerprint)
        if not self._check_folder():
            return None
        side_path = _side_path(path)
        if not _exists(path) and not _exists(side_path):
            return None
        side = _parse_side(_read_private(side_path, 'side file', MAX_SIDE))
        for field, expected, found in differences(fingerprint, side.fingerprint):
            raise EngineMismatch(field, expected, found, *ENGINE)
        plan = _read_private(path, 'plan', MAX_PLAN, side.size)
        digest = hashlib.sha256(plan).hexdigest()
        if digest != side.sha256:
            raise EngineMismatch('plan sha256', side.sha256, digest, *ENGINE)
        return Kept(plan, side.fingerprint, side.report)

    def install(self, fingerprint: Fingerprint, plan: bytes, report: dict[str, Any]) -> Path:
        """Keep an engine; call it with `lock` held.

        Args:
            fingerprint: what it was built from and for.
            plan: its bytes.
            report: what was measured, as JSON can hold it.

        Returns:
            Where the plan is.

        Raises:
            EngineError: it can't be written; what was kept before still is.
        """
        path = self.path(fingerprint)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_folder()
            self._sweep(fingerprint)
            replace_file(path, plan)
            # Last: a plan without a side file that knows it is never used.
            replace_file(_side_path(path), _write_side(fingerprint, plan, report))
        except OSError as err:
            raise EngineError(
                fingerprint.library,
                f'the engine can not be kept in {self.folder} ({err.strerror or err}); '
                f'make room or set engine.cache_dir to a folder that can be written',
            ) from err
        return path

    def remember_refusal(
        self, fingerprint: Fingerprint, tried: str, reason: str, report: dict[str, Any]
    ) -> None:
        """Keep that no engine was good enough, so that not every start spends minutes to see it.

        Args:
            fingerprint: of the engine that was wanted.
            tried: digest of everything that was tried.
            reason: in words.
            report: what was measured, as JSON can hold it.
        """
        content = {
            'format': FORMAT,
            'fingerprint': fingerprint.to_dict(),
            'tried': tried,
            'reason': reason,
            'report': report,
        }
        with contextlib.suppress(OSError):  # the next start tries again, then
            replace_file(self.refusal(fingerprint), _canonical(content))

    def recall_refusal(
        self, fingerprint: Fingerprint, tried: str
    ) -> tuple[str, dict[str, Any]] | None:
        """Return reason and report of a refusal of the same things, None without one."""
        try:
            if not self._check_folder():
                return None
            data = _read_private(self.refusal(fingerprint), 'refusal', MAX_SIDE)
            content = json.loads(data.decode())
            known = {'format': FORMAT, 'fingerprint': fingerprint.to_dict(), 'tried': tried}
            if any(content[key] != value for key, value in known.items()):
                return None
            return str(content['reason']), dict(content['report'])
        except (EngineMismatch, ValueError, KeyError, TypeError):
            return None  # broken: what it said is found out again

    def refusal(self, fingerprint: Fingerprint) -> Path:
        """Return where a refusal is kept. To delete it is to try again."""
        return self.folder / f'{fingerprint.key()}.refused.json'

    def nearest(self, fingerprint: Fingerprint, model: str) -> list[tuple[str, object, object]]:
        """Return how the kept engine that is most like a fingerprint differs from it.

        Args:
            fingerprint: of the engine that is wanted.
            model: what the reports of engines for the same model have as `model`.

        Returns:
            Field, what is wanted and what that engine has. Empty where no engine is for this
            model and library.
        """
        if not self._check_folder():
            return []
        best: list[tuple[str, object, object]] = []
        for path in sorted(self.folder.glob('*.plan.json')):
            try:
                side = _parse_side(_read_private(path, 'side file', MAX_SIDE))
            except (EngineMismatch, EngineError):
                continue  # what is broken says nothing about why there is no better one
            found = differences(fingerprint, side.fingerprint)
            same = side.report.get('model') == model
            if same and found and side.fingerprint.library == fingerprint.library:
                best = found if not best or len(found) < len(best) else best
        return best

    @contextlib.contextmanager
    def lock(
        self,
        fingerprint: Fingerprint,
        notice: Callable[[str], None] = lambda text: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[bool]:
        """Hold the right to build an engine: the others wait, and then find it built.

        Args:
            fingerprint: of the engine.
            notice: told once when another process holds it.
            stop: asked while waiting whether to give up.

        Yields:
            Whether it is held; False where the folder can't be written, so nothing can be kept.

        Raises:
            BuildStopped: `stop` said so.
            EngineError: the folder is not this user's alone.
        """
        handle = self._open_lock(fingerprint)
        if handle is None:
            yield False
            return
        try:
            _wait_for(handle, fingerprint.library, notice, stop)
            yield True
        finally:
            os.close(handle)  # which gives the lock back, as the end of the process does

    def _open_lock(self, fingerprint: Fingerprint) -> int | None:
        """Return a handle of the lock file, None where the folder can't be written."""
        path = self.folder / f'{fingerprint.key()}.lock'
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_folder()
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return None

    def _sweep(self, fingerprint: Fingerprint) -> None:
        """Remove what a process left that was killed while it wrote. The lock is ours."""
        for part in self.folder.glob(f'.{fingerprint.key()}.plan*.part'):
            part.unlink(missing_ok=True)

    def _check_folder(self) -> bool:
        """Return whether the folder is there, and see that it is this user's alone."""
        try:
            found = os.stat(self.folder)
        except FileNotFoundError:
            return False
        except OSError as err:
            raise EngineError(
                'tensorrt', f'{self.folder} can not be read ({err.strerror}); set engine.cache_dir'
            ) from err
        if not stat.S_ISDIR(found.st_mode):
            raise EngineError('tensorrt', f'{self.folder} is no folder; set engine.cache_dir')
        _check_owner(self.folder, found.st_uid)
        if found.st_mode & 0o077:
            try:
                os.chmod(self.folder, 0o700)
            except OSError as err:
                raise EngineError(
                    'tensorrt',
                    f'{self.folder} is open to others (mode {found.st_mode & 0o777:o}) and can '
                    f'not be closed ({err.strerror}): `chmod 700 {self.folder}`',
                ) from err
        return True


# ---- the side file


@dataclass(frozen=True)
class _Side:
    fingerprint: Fingerprint
    size: int
    sha256: str
    report: dict[str, Any]


def _side_path(plan: Path) -> Path:
    return plan.with_name(f'{plan.name}.json')


def _write_side(fingerprint: Fingerprint, plan: bytes, report: dict[str, Any]) -> bytes:
    content: dict[str, Any] = {
        'format': FORMAT,
        'fingerprint': fingerprint.to_dict(),
        'plan': {'size': len(plan), 'sha256': hashlib.sha256(plan).hexdigest()},
        'report': report,
    }
    return _canonical({**content, 'sha256': hashlib.sha256(_canonical(content)).hexdigest()})


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode() + b'\n'


def _parse_side(data: bytes) -> _Side:
    """Read a side file.

    Raises:
        EngineMismatch: it is not, byte for byte, one that this version wrote.
    """
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError) as err:
        raise EngineMismatch('side file', 'JSON', f'{type(err).__name__}', *ENGINE) from err
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        found = content.get('format') if isinstance(content, dict) else type(content).__name__
        raise EngineMismatch('side file format', FORMAT, repr(found)[:80], *ENGINE)
    rest = {key: value for key, value in content.items() if key != 'sha256'}
    digest = hashlib.sha256(_canonical(rest)).hexdigest()
    if content.get('sha256') != digest:
        found = repr(content.get('sha256'))[:80]
        raise EngineMismatch('side file sha256', digest, found, *ENGINE)
    if _canonical(content) != data:
        raise EngineMismatch('side file', 'its own bytes', 'others', *ENGINE)
    try:
        return _Side(
            Fingerprint.from_dict(content['fingerprint']),
            int(content['plan']['size']),
            str(content['plan']['sha256']),
            dict(content['report']),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as err:  # int() of an infinity
        raise EngineMismatch('side file', 'fingerprint, plan, report', repr(err), *ENGINE) from err


# ---- files that are this user's alone


def _exists(path: Path) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _read_private(path: Path, name: str, limit: int, size: int | None = None) -> bytes:
    """Read a file that only its user can have written.

    Args:
        path: of the file.
        name: for messages.
        limit: most bytes that it may have.
        size: bytes that it must have.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as err:
        raise EngineMismatch(name, path.name, 'no such file', *ENGINE) from err
    except OSError as err:
        raise EngineMismatch(name, 'a file that can be read', err.strerror, *ENGINE) from err
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise EngineMismatch(name, 'a plain file', stat.filemode(found.st_mode), *ENGINE)
        _check_owner(path, found.st_uid)
        if found.st_mode & 0o022:
            mode = f'{found.st_mode & 0o777:o}'
            raise EngineMismatch(f'{name} mode', 'not writable by others', mode, *ENGINE)
        if found.st_size > limit or (size is not None and found.st_size != size):
            expected = f'at most {limit}' if size is None else size
            raise EngineMismatch(f'{name} size', expected, found.st_size, *ENGINE)
        with os.fdopen(handle, 'rb', closefd=False) as file:
            return file.read(found.st_size)
    except OSError as err:  # of the disk
        raise EngineMismatch(name, 'a file that can be read', err.strerror, *ENGINE) from err
    finally:
        os.close(handle)


def _check_owner(path: Path, owner: int) -> None:
    """Refuse what another user could have written; root could write anything in any case."""
    if owner not in (os.geteuid(), 0):
        raise EngineError(
            'tensorrt',
            f'{path} belongs to user {owner}, not to {os.geteuid()}: an engine is code, and other '
            "people's are not run; remove it or set engine.cache_dir to a folder of your own",
        )


def _wait_for(
    handle: int, kind: str, notice: Callable[[str], None], stop: Callable[[], bool]
) -> None:
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                notice('another process builds this engine; waiting for it')
                told = True
            if stop():
                raise BuildStopped(kind) from None
            time.sleep(WAIT)
        else:
            return
