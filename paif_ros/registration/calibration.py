"""How the thermal camera lies in the RGB one, and the YAML file that keeps it.

`ros2 run paif_ros calibrate` writes such a file, `registration` makes a map of it. It is read
as data only, and every defect is a CalibrationError that names the key.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paif_ros.errors import CalibrationError
from paif_ros.registration.intrinsics import (
    CameraInfoLike,
    Intrinsics,
    Matrix,
    Size,
    check_size,
    intrinsics_from_camera_info,
    to_matrix,
    to_number,
    to_numbers,
)
from paif_ros.registration.plain_yaml import parse_yaml, short

__all__ = [
    'Calibration',
    'CameraInfoLike',
    'Intrinsics',
    'intrinsics_from_camera_info',
    'load',
    'save',
]

MAX_FILE = 64 * 1024  # bytes; a calibration has two thousand
MAX_DEPTH = 100000.0  # metres, as plane_depth among the parameters
_MAX_PIXEL = 1e5  # where a homography may lead the thermal picture's corners
_MAX_SHIFT = 100.0  # metres between the two cameras
_HEAD = (
    '# Registration of a thermal to an RGB camera, see docs/registration.md of paif_ros.\n'
    '# Pixels are (column, row) from the middle of the top left one.\n'
)


@dataclass(frozen=True)
class Calibration:
    """Where thermal pixels lie in the RGB picture, by a homography, by extrinsics, or by both.

    Attributes:
        thermal_size: (width, height) in pixels that the homography is for.
        visible_size: the same of the RGB camera.
        homography: 3x3, thermal pixel (column, row, 1) to RGB pixel, or None.
        rotation: 3x3, thermal optical frame to RGB optical frame, or None.
        translation: of the thermal camera in the RGB optical frame, metres, or None.
        plane_depth: metres before the RGB camera at which extrinsics register exactly, or None.
        thermal_camera: lens, used where no camera_info says it, or None.
        visible_camera: the same of the RGB camera.
        method: how it was found, in words.
        residual_px: median distance in RGB pixels that remained, or None where not measured.
        date: when, such as 2026-11-21.

    Raises:
        CalibrationError: a value can't be right, or there is neither homography nor extrinsics.
    """

    thermal_size: Size
    visible_size: Size
    homography: Matrix | None = None
    rotation: Matrix | None = None
    translation: tuple[float, ...] | None = None
    plane_depth: float | None = None
    thermal_camera: Intrinsics | None = None
    visible_camera: Intrinsics | None = None
    method: str = ''
    residual_px: float | None = None
    date: str = ''

    @property
    def mode(self) -> str:
        """The registration.mode that it is for: 'homography' where it holds one."""
        return 'homography' if self.homography is not None else 'extrinsics'

    def __post_init__(self) -> None:
        def put(name: str, convert: Callable[[str, Any], Any]) -> None:
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else convert(name, value))

        for name in ('thermal_size', 'visible_size'):
            object.__setattr__(self, name, check_size(name, getattr(self, name)))
        put('homography', lambda name, rows: _homography(name, rows, self.thermal_size))
        put('rotation', _rotation)
        put('translation', _translation)
        put('plane_depth', _depth)
        put('residual_px', _residual)
        if (self.rotation is None) != (self.translation is None):
            missing = 'translation' if self.translation is None else 'rotation'
            raise CalibrationError(missing, None, 'rotation and translation together')
        if self.homography is None and self.rotation is None:
            raise CalibrationError('homography', None, 'a homography, or rotation and translation')
        for name in ('method', 'date'):
            if not isinstance(getattr(self, name), str):
                raise CalibrationError(name, getattr(self, name), 'a text')


def load(path: str | Path) -> Calibration:
    """Read a calibration file.

    Args:
        path: YAML of at most 64 KiB, as `save` writes it.

    Raises:
        CalibrationError: there is no such file, or something in it can't be right.
    """
    try:
        with Path(path).open('rb') as file:
            raw = file.read(MAX_FILE + 1)
        text = raw[:MAX_FILE].decode('utf-8')
    except (OSError, ValueError) as err:
        raise CalibrationError(
            'file', str(path), 'a readable YAML file; `ros2 run paif_ros calibrate` writes one'
        ) from err
    if len(raw) > MAX_FILE:
        raise CalibrationError('file', str(path), f'at most {MAX_FILE} bytes')
    tree = parse_yaml(text, path)
    if not isinstance(tree, dict):
        raise CalibrationError('file', str(path), 'keys with values')
    known = {*Calibration.__dataclass_fields__}
    for key in tree:
        if key not in known:
            raise CalibrationError(short(key), 'unknown', f'one of {", ".join(sorted(known))}')
    for key in ('thermal_size', 'visible_size'):
        if key not in tree:
            raise CalibrationError(key, None, '[width, height] in pixels')
    values: dict[str, Any] = {**tree}
    try:
        for key in ('thermal_camera', 'visible_camera'):
            values[key] = _camera(key, tree.get(key))
        for key in ('method', 'date'):  # YAML has a type of its own for dates
            if key in tree:
                values[key] = str(tree[key]) if tree[key] is not None else ''
        return Calibration(**values)
    except CalibrationError as err:
        # A file may hold anything: a message must not grow with it.
        raise CalibrationError(err.key, _Shown(short(err.value)), err.expected) from err


def save(calibration: Calibration, path: str | Path) -> None:
    """Write a calibration file, in one step: a reader sees the old one or the new one.

    Args:
        calibration: what to write. `load` returns an equal one.
        path: of the file; its folder is there.

    Raises:
        CalibrationError: it can't be written.
    """
    import yaml

    tree = {
        key: _plain(value)
        for key in Calibration.__dataclass_fields__
        if (value := getattr(calibration, key)) not in (None, '')
    }
    text = _HEAD + yaml.safe_dump(tree, sort_keys=False, default_flow_style=None, width=99)
    path = Path(path)
    draft = path.with_name(f'.{path.name}.{os.getpid()}.draft')
    try:
        draft.unlink(missing_ok=True)  # of a killed writer: in containers ids come again
        # tempfile's files are for their owner only; the node may run as somebody else.
        with draft.open('x', encoding='utf-8') as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except (OSError, ValueError) as err:
        draft.unlink(missing_ok=True)
        reason = getattr(err, 'strerror', None) or err
        raise CalibrationError('file', str(path), f'a place to write to ({reason})') from err


class _Shown(str):
    """A text that an error message shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _camera(key: str, tree: Any) -> Intrinsics | None:
    if tree is None:
        return None
    names = {
        'width': 'width',
        'height': 'height',
        'matrix': 'matrix',
        'distortion_model': 'model',
        'distortion_coefficients': 'coefficients',
    }
    if not isinstance(tree, dict):
        raise CalibrationError(key, tree, f'keys {", ".join(names)}')
    for name in ('width', 'height', 'matrix'):
        if name not in tree:
            raise CalibrationError(f'{key}.{name}', None, 'a value')
    for name in tree:
        if name not in names:
            raise CalibrationError(f'{key}.{short(name)}', 'unknown', ', '.join(names))
    model = tree.get('distortion_model', 'plumb_bob')
    if not isinstance(model, str):
        raise CalibrationError(f'{key}.distortion_model', model, 'a text')
    try:
        return Intrinsics(**{names[name]: value for name, value in tree.items()})
    except CalibrationError as err:
        raise CalibrationError(f'{key}.{err.key}', err.value, err.expected) from err


def _plain(value: Any) -> Any:
    if isinstance(value, Intrinsics):
        return {
            'width': value.width,
            'height': value.height,
            'matrix': _plain(value.matrix),
            'distortion_model': value.model,
            'distortion_coefficients': list(value.coefficients),
        }
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _homography(key: str, rows: Any, size: Size) -> Matrix:
    """Return a homography of such a sign that points before the camera have a positive weight."""
    given = to_matrix(key, rows)
    norm = max(abs(value) for row in given for value in row)
    if norm == 0.0:
        raise CalibrationError(key, rows, 'a matrix that is not zero')
    matrix = np.array(given) / norm
    right, bottom = size[0] - 0.5, size[1] - 0.5
    corners = np.array([[-0.5, right, right, -0.5], [-0.5, -0.5, bottom, bottom], [1, 1, 1, 1]])
    x, y, weight = matrix @ corners
    if weight[0] < 0:
        matrix, x, y, weight = -matrix, -x, -y, -weight
    if weight.min() <= 1e-9:
        raise CalibrationError(
            key, 'a horizon inside the thermal picture', 'all of the picture before the camera'
        )
    x, y = x / weight, y / weight
    area = abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
    if not area > 16.0 or max(float(np.abs(x).max()), float(np.abs(y).max())) > _MAX_PIXEL:
        raise CalibrationError(
            key, f'corners at {np.round(x, 1).tolist()}, {np.round(y, 1).tolist()}',
            f'a picture of more than 16 pixels within {_MAX_PIXEL:g} pixels',
        )  # fmt: skip
    # The picture lies before the camera, so this entry, the weight of a pixel in it, is not 0.
    return given if given[2][2] == 1.0 else to_matrix(key, matrix / matrix[2, 2])


def _rotation(key: str, rows: Any) -> Matrix:
    matrix = to_matrix(key, rows)
    array = np.array(matrix)
    with np.errstate(over='ignore', invalid='ignore'):
        error = np.abs(array @ array.T - np.eye(3)).max()
    if not error < 1e-3 or np.linalg.det(array) < 0:
        raise CalibrationError(
            key, rows, 'a rotation: rows of length 1 at right angles, determinant 1'
        )
    return matrix


def _translation(key: str, values: Any) -> tuple[float, ...]:
    numbers = to_numbers(key, values)
    if len(numbers) != 3 or max(map(abs, numbers)) > _MAX_SHIFT:
        raise CalibrationError(key, values, f'[x, y, z] in metres, each up to {_MAX_SHIFT:g}')
    return numbers


def _depth(key: str, value: Any) -> float:
    number = to_number(key, value)
    if not 0.0 < number <= MAX_DEPTH:
        raise CalibrationError(key, value, f'above 0 and up to {MAX_DEPTH:g} metres')
    return number


def _residual(key: str, value: Any) -> float:
    number = to_number(key, value)
    if number < 0.0:
        raise CalibrationError(key, value, '0 or more pixels')
    return number
