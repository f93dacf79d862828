"""The map from thermal to RGB pixels: how it is made, and how a frame goes through it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import CalibrationError
from paif_ros.registration.calibration import MAX_DEPTH, Calibration
from paif_ros.registration.intrinsics import Intrinsics, Matrix, Size, scaling
from paif_ros.registration.lens import distort, undistort

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Warp:
    """A map from the thermal frame to the RGB frame.

    Attributes:
        thermal_size: (width, height) of the thermal frames that it takes, pixels.
        visible_size: (width, height) of the pictures that it makes, pixels.
        valid: uint8 [H, W], 255 where the thermal camera sees, 0 elsewhere; read-only.
        coverage: share of the RGB picture that the thermal camera sees, 0 to 1.
    """

    thermal_size: Size
    visible_size: Size
    valid: U8 = field(repr=False)
    coverage: float
    _places: NDArray[np.int16] = field(repr=False)
    _fractions: NDArray[np.uint16] = field(repr=False)

    def apply(self, thermal: U8, outside: U8 | None = None) -> U8:
        """Warp a frame.

        Args:
            thermal: uint8 [h, w] of `thermal_size`.
            outside: uint8 [H, W] of `visible_size` to take where the thermal camera sees nothing.

        Returns:
            uint8 [H, W] of `visible_size`, bilinear, 0 outside the field of view where `outside`
            is None.

        Raises:
            CalibrationError: the frame or `outside` has another size or type.
        """
        self._check('thermal frame', thermal, self.thermal_size)
        import cv2

        # Half a pixel at the border has no neighbour to blend with: its edge is repeated.
        warped = cv2.remap(
            thermal, self._places, self._fractions, cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        if outside is None:
            return np.asarray(cv2.bitwise_and(warped, self.valid), np.uint8)
        self._check('outside picture', outside, self.visible_size)
        return np.asarray(cv2.copyTo(warped, self.valid, outside.copy()), np.uint8)

    def _check(self, name: str, picture: U8, size: Size) -> None:
        if picture.dtype != np.uint8 or picture.shape != size[::-1]:
            raise CalibrationError(
                name,
                f'{picture.dtype} {list(picture.shape)}',
                f'uint8 {list(size[::-1])} as the map was made for',
            )


def homography_warp(calibration: Calibration, thermal_size: Size, visible_size: Size) -> Warp:
    """Make the map of a homography.

    Args:
        calibration: with a homography.
        thermal_size: (width, height) of the frames, that of the calibration or scaled from it.
        visible_size: the same of the RGB frames.

    Raises:
        CalibrationError: there is no homography, or a size is not the calibrated one scaled.
    """
    if calibration.homography is None:
        raise CalibrationError(
            'homography', None, 'one in the file, or registration.mode extrinsics'
        )
    forth = (
        scaling('visible', calibration.visible_size, visible_size)
        @ np.array(calibration.homography)
        @ np.linalg.inv(scaling('thermal', calibration.thermal_size, thermal_size))
    )
    a, b, c = np.linalg.inv(forth)
    x, y = _grid(visible_size)
    # A weight of 0 or less: the thermal camera would have to look backwards.
    weight = c[0] * x + c[1] * y + c[2]
    seen = weight > 1e-12
    weight = np.where(seen, weight, 1.0)
    column = (a[0] * x + a[1] * y + a[2]) / weight
    row = (b[0] * x + b[1] * y + b[2]) / weight
    return _make(column, row, seen, thermal_size, visible_size)


def extrinsics_warp(
    visible: Intrinsics,
    thermal: Intrinsics,
    rotation: Matrix,
    translation: tuple[float, ...],
    *,
    plane_depth: float,
    thermal_size: Size,
    visible_size: Size,
) -> Warp:
    """Make the map of two lenses and the transform between them, for a plane at one depth.

    Each RGB pixel is undistorted to a ray, followed to the plane at `plane_depth`, seen from the
    thermal camera and distorted by its lens.

    Args:
        visible: lens of the RGB camera.
        thermal: lens of the thermal camera.
        rotation: 3x3, thermal optical frame to RGB optical frame.
        translation: of the thermal camera in the RGB optical frame, metres.
        plane_depth: metres along the RGB camera's optical axis, above 0 and up to 100000.
        thermal_size: (width, height) of the frames, that of the lens or scaled from it.
        visible_size: the same of the RGB frames.

    Raises:
        CalibrationError: a size is not that of its lens scaled, or the depth is out of range.
    """
    if not 0.0 < plane_depth <= MAX_DEPTH:
        raise CalibrationError('plane_depth', plane_depth, f'above 0 and up to {MAX_DEPTH:g} m')
    visible, thermal = visible.scaled(visible_size), thermal.scaled(thermal_size)
    x, y, seen = undistort(*_grid(visible_size), visible)
    # From the RGB frame back into the thermal one.
    turn = np.array(rotation).T
    shift = turn @ np.array(translation)
    place = [
        plane_depth * (turn[axis, 0] * x + turn[axis, 1] * y + turn[axis, 2]) - shift[axis]
        for axis in range(3)
    ]
    ahead = place[2] > 1e-6
    depth = np.where(ahead, place[2], 1.0)
    column, row, good = distort(place[0] / depth, place[1] / depth, thermal)
    return _make(column, row, seen & ahead & good, thermal_size, visible_size)


def _grid(size: Size) -> tuple[F64, F64]:
    """Return column and row of every pixel, float64 [H, W] each."""
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float64), np.arange(size[1], dtype=np.float64))
    return x, y


def _make(column: F64, row: F64, seen: NDArray[np.bool_], thermal: Size, visible: Size) -> Warp:
    """Make the map that takes each RGB pixel from this column and row of the thermal frame.

    A pixel is a square: the field of view ends half a pixel beyond the middles of the outer ones.
    """
    import cv2

    edge = 1e-6  # so that equal fields of view stay whole in spite of rounding
    inside = seen & (column >= -0.5 - edge) & (column <= thermal[0] - 0.5 + edge)
    inside &= (row >= -0.5 - edge) & (row <= thermal[1] - 0.5 + edge)
    places, fractions = cv2.convertMaps(
        np.where(inside, column, 0.0).astype(np.float32),
        np.where(inside, row, 0.0).astype(np.float32),
        cv2.CV_16SC2,
    )
    valid = np.where(inside, 255, 0).astype(np.uint8)
    for array in (valid, places, fractions):
        array.setflags(write=False)
    return Warp(thermal, visible, valid, float(inside.mean()), places, fractions)
