"""Brings the thermal frame into the RGB frame with a map that is computed once.

Three ways: `none` for cameras that are registered already, `homography` for a fixed one from a
file, `extrinsics` for lenses and a transform that are known: exact at one depth before the RGB
camera, with a parallax elsewhere (`parallax_px`). The RGB picture itself is never changed.
"""

from __future__ import annotations

from paif_ros.errors import CalibrationError, ParameterError
from paif_ros.registration.calibration import Calibration
from paif_ros.registration.edges import edge_correlation
from paif_ros.registration.intrinsics import (
    CameraInfoLike,
    Intrinsics,
    Size,
    intrinsics_from_camera_info,
    to_numbers,
)
from paif_ros.registration.warp import Warp, extrinsics_warp, homography_warp

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
