"""A sink of `paif-replay` that logs every result to Rerun: files of a run, or a viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from paif_ros.fusion.results import Wanted
from paif_ros.replay.record import DropRow
from paif_ros.replay.sinks import Beginning, Fused, QuietSink
from paif_ros.view.rerun_logger import RerunLogger, Target, library

FOLDER = 'rerun'
STRETCHES = 'parts'  # where paif-replay does the stretches of a recording


class RerunSink(QuietSink):
    """Logs pictures, masks with their classes, latency, skew, AGC range, class areas and drops.

    Into files it writes one a part, `rerun/part_0000.rrd` and so on. All are of one recording, so
    `rerun RUN/rerun/*.rrd` shows them as one. A part that was not closed is written anew.

    Args:
        url: of a viewer; '' writes files.

    Raises:
        StartError: rerun-sdk is not installed.
    """

    def __init__(self, url: str = '') -> None:
        library()  # missing, it is said before the run
        self._url = url
        self._folder = Path()
        self._part = 0
        self._beginning: Beginning | None = None
        self._logger: RerunLogger | None = None

    @property
    def wanted(self) -> Wanted:
        """What is logged."""
        return Wanted(fused=True, mask=True, thermal=True)

    @property
    def outputs(self) -> Mapping[str, str]:
        """The folder of the files."""
        return {} if self._url else {FOLDER: FOLDER}

    def begin(self, beginning: Beginning) -> None:
        """Get ready, and remove what was not finished."""
        self._beginning, self._part = beginning, beginning.part
        self._folder = beginning.folder / FOLDER
        for path in self._folder.glob('part_*.rrd'):
            if int(path.stem.removeprefix('part_')) >= self._part:
                path.unlink()

    def take(self, fused: Fused) -> None:
        """Log a result."""
        log, row, result = self._open(), fused.row, fused.result
        log.at(row.stamp_ns)
        scene = result.scene
        pictures = {'fused': result.fused, 'thermal': result.thermal}
        if scene is not None and scene.alone != 'thermal':
            pictures['rgb'] = scene.color
        for name, picture in pictures.items():
            if picture is not None:
                log.picture(name, picture)
        if result.mask is not None:
            log.mask(result.mask)
        total = sum(row.times_ms.values())
        log.scalars('latency', {**row.times_ms, 'total': total})
        if row.skew_ms is not None:
            log.scalars('skew', {'ms': row.skew_ms})
        if row.agc_low is not None and row.agc_high is not None:
            log.scalars('agc', {'low': row.agc_low, 'high': row.agc_high})
        assert self._beginning is not None
        shares = zip(self._beginning.classes, row.shares, strict=False)
        log.scalars('areas', {label.name: 100 * share for label, share in shares if label.id})

    def drop(self, row: DropRow) -> None:
        """Log a frame that ended in no result."""
        log = self._open()
        log.at(row.stamp_ns)
        log.say(f'{row.camera} frame dropped: {row.reason}', 'WARN')

    def checkpoint(self) -> None:
        """Close the present file. A viewer goes on."""
        if self._logger is None or self._url:
            return
        self.close()
        self._part += 1

    def close(self) -> None:
        """Close whatever is open."""
        if self._logger is not None:
            self._logger.close()
            self._logger = None

    def _open(self) -> RerunLogger:
        if self._logger is None:
            assert self._beginning is not None
            file = None if self._url else self._folder / f'part_{self._part:04d}.rrd'
            name = _recording(self._beginning.folder)
            self._logger = RerunLogger(Target(file, self._url), name)
            self._logger.classes(self._beginning.classes)
        return self._logger


def _recording(folder: Path) -> str:
    """Name the recording: the same for all parts, stretches, and after an interruption."""
    whole = folder.resolve()
    if whole.parent.name == STRETCHES:
        whole = whole.parent.parent
    return sha256(str(whole).encode()).hexdigest()[:16]


def merge_rerun(parts: Sequence[Path], folder: Path) -> None:
    """Put the files of a recording's stretches together, in order; they are moved.

    Args:
        parts: folders of the stretches, in order.
        folder: of the whole; untouched where no stretch has files.
    """
    files = [path for part in parts for path in sorted((part / FOLDER).glob('part_*.rrd'))]
    for number, path in enumerate(files):
        (folder / FOLDER).mkdir(exist_ok=True)
        path.replace(folder / FOLDER / f'part_{number:04d}.rrd')
