"""Brings the thermal frame into the RGB frame with a map that is computed once.

Three ways: `none` for cameras that are registered already, `homography` for a fixed one from a
file, `extrinsics` for lenses and a transform that are known: exact at one depth before the RGB
camera, with a parallax elsewhere (`parallax_px`). The RGB picture itself is never changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from paif_ros.calibration import MAX_DEPTH, Calibration
from paif_ros.edges import edge_correlation
from paif_ros.errors import CalibrationError, ParameterError
from paif_ros.intrinsics import (
    CameraInfoLike,
    Intrinsics,
    Matrix,
    Size,
    intrinsics_from_camera_info,
    scaling,
    to_numbers,
)
from paif_ros.lens import distort, undistort

__all__ = [
    'MODES',
    'Registration',
    'Warp',
    'edge_correlation',
    'extrinsics_warp',
    'homography_warp',
    'parallax_px',
]

MODES = ('none', 'homography', 'extrinsics')

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


def parallax_px(focal_px: float, baseline_m: float, depth: float, plane_depth: float) -> float:
    """Return how far off a thing appears that is not at the depth registered for.

    Args:
        focal_px: focal length of the RGB camera in pixels.
        baseline_m: distance between the cameras across the viewing direction, metres.
        depth: of the thing, metres, above 0; infinity is welcome.
        plane_depth: that is registered exactly, the same.

    Returns:
        focal * baseline * |1 / depth - 1 / plane_depth|, RGB pixels.

    Raises:
        CalibrationError: a depth is not above 0.
    """
    for name, value in (('depth', depth), ('plane_depth', plane_depth)):
        if not value > 0.0:
            raise CalibrationError(name, value, 'above 0 metres')
    return focal_px * baseline_m * abs(1.0 / depth - 1.0 / plane_depth)


class Registration:
    """Gives the map for the present sizes, lenses and depth. For one thread.

    Args:
        mode: 'none', 'homography' or 'extrinsics'.
        calibration: what the file says; None with mode none.

    Raises:
        ParameterError: there is no such mode.
        CalibrationError: the calibration lacks what the mode needs.
    """

    def __init__(self, mode: str, calibration: Calibration | None) -> None:
        if mode not in MODES:
            raise ParameterError('registration.mode', mode, f'one of {", ".join(MODES)}')
        needed = {'homography': 'homography', 'extrinsics': 'rotation'}.get(mode)
        if needed:
            if calibration is None:
                raise CalibrationError(
                    'file', None, f'a calibration for mode {mode}: set registration.file'
                )
            if getattr(calibration, needed) is None:
                raise CalibrationError(needed, None, f'a value in the file, as mode is {mode}')
        self._mode = mode
        self._calibration = calibration
        self._key: object = None
        self._warp: Warp | None = None

    @property
    def mode(self) -> str:
        """How frames are registered."""
        return self._mode

    def warp(
        self,
        thermal_size: Size,
        visible_size: Size,
        visible_info: CameraInfoLike | Intrinsics | None = None,
        thermal_info: CameraInfoLike | Intrinsics | None = None,
        plane_depth: float = 0.0,
    ) -> Warp | None:
        """Return the map; it is made anew only when something has changed.

        Args:
            thermal_size: (width, height) of the thermal frame in pixels.
            visible_size: (width, height) of the RGB frame in pixels.
            visible_info: CameraInfo (or lens) of the RGB camera, used in mode extrinsics. Where it
                is missing or says that the camera is not calibrated, the lens in the file counts.
            thermal_info: the same of the thermal camera.
            plane_depth: metres, 0 for that of the file; used in mode extrinsics.

        Returns:
            The map, or None in mode none.

        Raises:
            CalibrationError: sizes, camera_info or depth are missing or can't be right.
        """
        calibration = self._calibration
        if self._mode == 'none' or calibration is None:
            return None
        key: tuple[object, ...] = (thermal_size, visible_size)
        if self._mode == 'homography':
            if key != self._key:
                self._warp = homography_warp(calibration, thermal_size, visible_size)
                self._key = key
            return self._warp
        visible = _lens('visible', visible_info, calibration.visible_camera)
        thermal = _lens('thermal', thermal_info, calibration.thermal_camera)
        depth = plane_depth or calibration.plane_depth
        if depth is None:
            raise CalibrationError(
                'plane_depth', None, 'metres in the file or in registration.plane_depth'
            )
        assert calibration.rotation is not None
        assert calibration.translation is not None
        key = (*key, visible, thermal, depth)
        if key != self._key:
            self._warp = extrinsics_warp(
                visible, thermal, calibration.rotation, calibration.translation,
                plane_depth=depth, thermal_size=thermal_size, visible_size=visible_size,
            )  # fmt: skip
            self._key = key
        return self._warp


def _lens(
    name: str, info: CameraInfoLike | Intrinsics | None, known: Intrinsics | None
) -> Intrinsics:
    """Return a camera's lens as its driver says it, or as the file does."""
    if isinstance(info, Intrinsics):
        return info
    try:
        # Drivers of cameras without a calibration send a K of zeros.
        if info is not None and (known is None or any(to_numbers('camera_info k', info.k))):
            return intrinsics_from_camera_info(info)
    except CalibrationError as err:
        raise CalibrationError(f'{name} {err.key}', err.value, err.expected) from err
    if known is None:
        raise CalibrationError(
            f'{name}_camera', None, f'a {name} camera_info, or the lens in the calibration file'
        )
    return known


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
