"""One camera's lens as numbers: where a ray from the lens lands in the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import CalibrationError
from paif_ros.images.codec import MAX_SIDE

Matrix = tuple[tuple[float, ...], ...]
Size = tuple[int, int]  # width, height

# How many coefficients each model may have; zeros stand in for those left out.
LENGTHS: Mapping[str, tuple[int, ...]] = {
    'plumb_bob': (0, 4, 5),
    'rational_polynomial': (0, 8, 12, 14),
    'equidistant': (0, 4),
}
# Names that drivers use for the same models.
_ALIASES = {'fisheye': 'equidistant', 'radtan': 'plumb_bob'}
_MAX_VALUE = 1e6  # of a coefficient or a focal length in pixels; more is no lens


class CameraInfoLike(Protocol):
    """The fields of a sensor_msgs/msg/CameraInfo that matter here, whoever made it."""

    height: int
    width: int
    distortion_model: str
    d: Any
    k: Any
    binning_x: int
    binning_y: int
    roi: Any


@dataclass(frozen=True)
class Intrinsics:
    """A camera's lens. Integer pixel coordinates are the middles of pixels.

    Attributes:
        width: of its pictures in pixels, 1 to 8191.
        height: of its pictures in pixels, 1 to 8191.
        matrix: K, 3 rows of 3: focal lengths and principal point in pixels, no skew.
        model: 'plumb_bob', 'rational_polynomial' or 'equidistant' (a fisheye).
        coefficients: of the distortion, in OpenCV's order; empty for none.

    Raises:
        CalibrationError: a value is outside its range, or no lens has such numbers.
    """

    width: int
    height: int
    matrix: Matrix
    model: str = 'plumb_bob'
    coefficients: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_size('size', (self.width, self.height))
        object.__setattr__(self, 'matrix', to_matrix('matrix', self.matrix))
        (fx, skew, _), (below, fy, _), last = self.matrix
        if not (0.0 < fx <= _MAX_VALUE and 0.0 < fy <= _MAX_VALUE):
            raise CalibrationError(
                'matrix', (fx, fy), f'focal lengths above 0 and up to {_MAX_VALUE:g} pixels'
            )
        if max(abs(skew), abs(below)) > 1e-6 * fx or last != (0.0, 0.0, 1.0):
            raise CalibrationError('matrix', self.matrix, '[fx, 0, cx], [0, fy, cy], [0, 0, 1]')
        lengths = LENGTHS.get(self.model)
        if lengths is None:
            raise CalibrationError('distortion_model', self.model, f'one of {", ".join(LENGTHS)}')
        values = to_numbers('distortion_coefficients', self.coefficients)
        if len(values) not in lengths:
            allowed = ' or '.join(map(str, lengths))
            raise CalibrationError(
                'distortion_coefficients', f'{len(values)} values', f'{allowed} for {self.model}'
            )
        if any(abs(value) > _MAX_VALUE for value in values):
            raise CalibrationError(
                'distortion_coefficients', values, f'values up to {_MAX_VALUE:g}'
            )
        object.__setattr__(self, 'coefficients', values)

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def focal(self) -> float:
        """Mean of both focal lengths in pixels."""
        return (self.matrix[0][0] + self.matrix[1][1]) / 2

    def scaled(self, size: Size) -> Intrinsics:
        """Return the lens of the same camera's pictures at another size.

        Args:
            size: (width, height) in pixels, a multiple of the own size by one factor.

        Raises:
            CalibrationError: width and height differ by different factors.
        """
        if size == self.size:
            return self
        matrix = scaling('camera', self.size, size) @ np.array(self.matrix)
        rows = ((matrix[0, 0], 0.0, matrix[0, 2]), (0.0, matrix[1, 1], matrix[1, 2]), (0, 0, 1))
        return Intrinsics(*size, to_matrix('matrix', rows), self.model, self.coefficients)


def intrinsics_from_camera_info(info: CameraInfoLike) -> Intrinsics:
    """Read the lens of the pictures that a CameraInfo comes with.

    K is that of the whole sensor; region of interest and binning are applied to it here, so the
    answer is that of the picture as it is sent.

    Args:
        info: the message: K of 9 and D of 0, 4, 5, 8, 12 or 14 finite numbers, the model one of
            plumb_bob, rational_polynomial and equidistant (or fisheye); empty without D.

    Raises:
        CalibrationError: K is zero (the camera is not calibrated), or a field can't be right.
    """
    width, height = _natural(info.width, 'width'), _natural(info.height, 'height')
    check_size('camera_info size', (width, height))
    k = to_numbers('camera_info k', info.k)
    if len(k) != 9:
        raise CalibrationError('camera_info k', f'{len(k)} values', '9 values')
    if k[0] == 0.0:
        raise CalibrationError(
            'camera_info k', 'zero', 'a focal length: the driver says the camera is uncalibrated'
        )
    matrix = np.array(k).reshape(3, 3)
    x, y, wide, high = _region(info, width, height)
    columns, rows = (
        _natural(info.binning_x, 'binning_x') or 1,
        _natural(info.binning_y, 'binning_y') or 1,
    )
    if wide // columns < 1 or high // rows < 1:
        raise CalibrationError('camera_info binning', (columns, rows), 'less than the picture')
    # The middle of a binned pixel lies between the middles of those that it is made of.
    for axis, start, bin_size in ((0, x, columns), (1, y, rows)):
        matrix[axis, 2] = (matrix[axis, 2] - start + 0.5) / bin_size - 0.5
        matrix[axis, axis] /= bin_size
    model = info.distortion_model
    if not isinstance(model, str):
        raise CalibrationError('camera_info distortion_model', model, 'a text')
    d = to_numbers('camera_info d', info.d)
    model = _ALIASES.get(model, model) or ('' if any(d) else 'plumb_bob')
    # Drivers call a plumb bob of eight coefficients by its old name, and the other way round.
    if model == 'plumb_bob' and len(d) in (8, 12, 14):
        model = 'rational_polynomial'
    elif model == 'rational_polynomial' and len(d) in (4, 5):
        model = 'plumb_bob'
    return Intrinsics(wide // columns, high // rows, to_matrix('k', matrix), model, d)


def check_size(key: str, size: Any) -> Size:
    """Return (width, height) of a pair of integers.

    Raises:
        CalibrationError: it is none, or a side is not 1 to 8191 pixels.
    """
    allowed = f'[width, height], integers from 1 to {MAX_SIDE}'
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise CalibrationError(key, size, allowed)
    for side in size:
        good = isinstance(side, (int, np.integer)) and not isinstance(side, bool)
        if not good or not 1 <= side <= MAX_SIDE:
            raise CalibrationError(key, size, allowed)
    return int(size[0]), int(size[1])


def scaling(key: str, old: Size, new: Size) -> NDArray[np.float64]:
    """Return the 3x3 matrix from pixels of a picture to pixels of the same one at another size.

    Args:
        key: what to name in an error.
        old: (width, height) in pixels.
        new: (width, height); binning and resizing round, so a pixel more or less is welcome.

    Raises:
        CalibrationError: the sides differ by different factors: it is another picture.
    """
    factor = (new[0] * old[0] + new[1] * old[1]) / (old[0] ** 2 + old[1] ** 2)
    if any(abs(side - factor * before) > 1.0 for before, side in zip(old, new, strict=True)):
        raise CalibrationError(
            f'{key} size',
            f'{new[0]}x{new[1]}',
            f'{old[0]}x{old[1]} as calibrated, or that by one factor; calibrate this size',
        )
    wide, high = new[0] / old[0], new[1] / old[1]
    return np.array([[wide, 0, (wide - 1) / 2], [0, high, (high - 1) / 2], [0, 0, 1.0]])


def to_numbers(key: str, values: Any) -> tuple[float, ...]:
    """Return a sequence of finite numbers as floats.

    Raises:
        CalibrationError: it is none, or one of them is not finite.
    """
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, '__len__'):
        raise CalibrationError(key, values, 'a list of numbers')
    try:
        numbers = tuple(to_number(key, value) for value in values)
    except TypeError as err:
        raise CalibrationError(key, values, 'a list of numbers') from err
    return numbers


def to_number(key: str, value: Any) -> float:
    """Return a finite number as float.

    Args:
        key: what to name in an error.
        value: an integer or a float, or one as text: YAML takes 1e-5 for a text.

    Raises:
        CalibrationError: it is none, or not finite.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, str, np.integer, np.floating)
    ):
        raise CalibrationError(key, value, 'a number')
    try:
        number = float(value)
    except (ValueError, OverflowError) as err:
        raise CalibrationError(key, value, 'a number') from err
    if not math.isfinite(number):
        raise CalibrationError(key, value, 'a finite number')
    return number


def to_matrix(key: str, rows: Any) -> Matrix:
    """Return three rows of three finite numbers.

    Raises:
        CalibrationError: it is something else.
    """
    if isinstance(rows, (str, bytes, Mapping)) or not hasattr(rows, '__len__') or len(rows) != 3:
        raise CalibrationError(key, rows, '3 rows of 3 numbers')
    matrix = tuple(to_numbers(key, row) for row in rows)
    if any(len(row) != 3 for row in matrix):
        raise CalibrationError(key, rows, '3 rows of 3 numbers')
    return matrix


def _region(info: CameraInfoLike, width: int, height: int) -> tuple[int, int, int, int]:
    """Return x, y, width and height of the part of the sensor that is sent."""
    roi = info.roi
    x, y = _natural(roi.x_offset, 'roi x_offset'), _natural(roi.y_offset, 'roi y_offset')
    wide = _natural(roi.width, 'roi width') or width
    high = _natural(roi.height, 'roi height') or height
    if wide == width and high == height and not (x or y):
        return 0, 0, width, height
    if x + wide > width or y + high > height:
        raise CalibrationError(
            'camera_info roi', (x, y, wide, high), f'a part of {width}x{height}'
        )
    return x, y, wide, high


def _natural(value: Any, field: str) -> int:
    good = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not good or not 0 <= value < 2**32:
        raise CalibrationError(f'camera_info {field}', value, 'an integer, 0 or more')
    return int(value)
