"""A report of whatever a path is: a run of paif-replay, or a bag with a node's outputs."""

from __future__ import annotations

from pathlib import Path

from paif_ros.replay.record import RUN
from paif_ros.report.page import ReportError, check_libraries, write
from paif_ros.report.run import Run

DEFAULT = 'report.html'


def run_of(path: Path, node: str = '', color_topic: str = '/color/image_raw') -> Run:
    """Read a run's folder or a bag.

    Args:
        path: a folder with run.json, or a bag.
        node: full name of the fusion node in a bag, '' for the one that is there.
        color_topic: of the RGB camera in a bag.

    Raises:
        ReportError: it is neither, or can't be read.
        RecordError: a file of a run can't be read.
    """
    if (path / RUN).is_file():
        from paif_ros.report.of_replay import run_of_replay

        return run_of_replay(path)
    if not path.exists():
        raise ReportError(str(path), 'is not there; name a folder of paif-replay, or a bag')
    from paif_ros.report.of_bag import run_of_bag

    return run_of_bag(path, node, color_topic)


def make_report(folder: Path, path: Path | None = None) -> Path:
    """Write the report of a run of paif-replay; what `paif-replay --report` calls at its end.

    Call `paif_ros.report.page.check_libraries` before a long run, and give the replay the sink
    `paif_ros.report.key_frames.KeyFrames` for the contact sheet.

    Args:
        folder: of the run.
        path: of the report, `report.html` in the folder where None.

    Returns:
        The file that was written.

    Raises:
        ReportError: a library is missing, or the file can't be written.
        RecordError: a file of the run can't be read.
    """
    check_libraries()
    target = folder / DEFAULT if path is None else path
    write(run_of(folder), target)
    return target
