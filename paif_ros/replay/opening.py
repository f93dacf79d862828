"""Opens whatever a user names as a recording."""

from __future__ import annotations

from pathlib import Path

from paif_ros.replay import films, folders
from paif_ros.replay.bag import ENDINGS as BAG_ENDINGS
from paif_ros.replay.bag import METADATA, Bag
from paif_ros.replay.feed import Feed, RecordingError
from paif_ros.replay.films import Films
from paif_ros.replay.folders import Folders
from paif_ros.replay.options import Inputs

# Names of the two folders or films of one recording inside a folder, RGB first.
SIDES = (('vi', 'ir'), ('visible', 'infrared'), ('color', 'thermal'), ('rgb', 'thermal'))


def open_feed(inputs: Inputs) -> Feed:
    """Open a recording.

    Args:
        inputs: one path of a bag (a folder or a file), or of a folder with two folders of
            pictures or two films in it, such as vi/ and ir/; or two paths, RGB and thermal.

    Raises:
        RecordingError: it is none of that, or can't be read at all; it says what it is.
    """
    paths = [Path(path).expanduser() for path in inputs.paths]
    for path in paths:
        if not path.exists():
            raise RecordingError(path, 'no such file or folder')
    if len(paths) == 1:
        path = paths[0]
        if _is_bag(path):
            return Bag(path)
        sides = _sides(path) if path.is_dir() else None
        if sides is None:
            raise RecordingError(path, _why_not(path))
        paths = list(sides)
    color, thermal = paths
    if color.is_dir() and thermal.is_dir():
        return Folders(color, thermal, inputs.rate)
    if color.is_file() and thermal.is_file():
        return Films(color, thermal, inputs.rate)
    raise RecordingError(color, f'with {thermal}: two films, or two folders of pictures')


def _is_bag(path: Path) -> bool:
    if path.is_file():
        return path.name.endswith(BAG_ENDINGS) or path.name == METADATA
    return (path / METADATA).is_file() or any(p.name.endswith(BAG_ENDINGS) for p in path.iterdir())


def _sides(folder: Path) -> tuple[Path, Path] | None:
    for names in SIDES:
        color, thermal = (folder / name for name in names)
        if color.is_dir() and thermal.is_dir():
            return color, thermal
        found = [
            [p for p in folder.iterdir() if p.suffix in films.ENDINGS and p.stem.endswith(name)]
            for name in names
        ]
        if all(len(matching) == 1 for matching in found):
            return found[0][0], found[1][0]
    return None


def _why_not(path: Path) -> str:
    if path.suffix.lower() in (*films.ENDINGS, *folders.ENDINGS):
        return 'is of one camera: give both, --color RGB --thermal THERMAL'
    kinds = ', '.join(BAG_ENDINGS)
    return (
        f'no recording: expected a ROS 2 bag ({kinds}), a folder with vi/ and ir/, or two films '
        'or folders by --color and --thermal'
    )
