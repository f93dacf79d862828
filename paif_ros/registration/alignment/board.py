"""Finds a calibration board in pictures of both cameras, and says which corner is which.

A board is warm squares or holes before a cold plate as well as ink on paper, so what is dark for
one camera may be bright for the other.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paif_ros.errors import CalibrationError
from paif_ros.registration.alignment.refusal import InputError

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]

KINDS = ('chessboard', 'circles', 'acircles')
_SEARCH_WIDTH = 640  # pixels; the corners of smaller pictures are found in enlarged ones
_MIN_SIDE, _MAX_SIDE = 2, 40


@dataclass(frozen=True)
class Board:
    """A pattern.

    Attributes:
        kind: 'chessboard', 'circles' (in rows and columns) or 'acircles' (every second row
            shifted).
        columns: inner corners or circles in a row.
        rows: rows of them.

    Raises:
        CalibrationError: a value is not one of these, or a side is not 2 to 40.
    """

    kind: str
    columns: int
    rows: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CalibrationError('board', self.kind, f'one of {", ".join(KINDS)}')
        least = 3 if self.kind == 'chessboard' else _MIN_SIDE
        if not all(least <= side <= _MAX_SIDE for side in (self.columns, self.rows)):
            raise InputError('--board', str(self), f'{least} to {_MAX_SIDE} on each side')

    def __str__(self) -> str:
        return f'{self.kind} {self.columns}x{self.rows}'

    @classmethod
    def parse(cls, kind: str, size: str) -> Board:
        """Return the board that a text such as 8x6 describes.

        Raises:
            CalibrationError: it describes none.
        """
        match = re.fullmatch(r'(\d{1,3})x(\d{1,3})', size.strip().lower())
        if match is None:
            raise InputError('--board', size, 'COLUMNSxROWS of inner corners or circles')
        return cls(kind, int(match[1]), int(match[2]))


def find(picture: U8, board: Board) -> F64 | None:
    """Find a board.

    Args:
        picture: uint8 [H, W, 3] RGB or [H, W].
        board: what to look for.

    Returns:
        float64 [rows, columns, 2], column and row in pixels, or None where it is not seen whole.
    """
    import cv2

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture
    factor = max(1, math.ceil(_SEARCH_WIDTH / grey.shape[1]))
    if factor > 1:
        size = (grey.shape[1] * factor, grey.shape[0] * factor)
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)
    for candidate in (grey, cv2.bitwise_not(grey)):
        points = _detect(np.asarray(candidate, np.uint8), board)
        if points is not None:
            places = (points.reshape(board.rows, board.columns, 2) + 0.5) / factor - 0.5
            return np.asarray(places, np.float64)
    return None


def match_order(thermal: F64, visible: F64, board: Board) -> F64:
    """Turn the visible corners so that the same corner of the board comes first in both.

    A board looks the same from the other side of the table, and warm squares trade places with
    dark ones. Of the orders that remain, that one counts in which the cameras are rolled least
    against each other: rigs hold both cameras the same way up.

    Args:
        thermal: float64 [rows, columns, 2].
        visible: the same.
        board: what they are of.

    Returns:
        The visible corners in the thermal ones' order, float64 [rows, columns, 2].
    """
    orders = [visible]
    if board.kind != 'acircles':  # whose shifted rows say where it begins
        orders.append(visible[::-1, ::-1])
        if board.rows == board.columns:
            orders += [np.rot90(visible, turns).copy() for turns in (1, 3)]
    return max(orders, key=lambda order: _likeness(thermal, order))


def find_both(pairs: list[tuple[U8, U8]], board: Board) -> tuple[list[F64], list[F64], list[int]]:
    """Find a board in pairs of pictures.

    Args:
        pairs: (uint8 [H, W, 3] RGB, uint8 [h, w] thermal).
        board: what to look for.

    Returns:
        Thermal and RGB points of each pair in which both cameras see the board, float64 [N, 2]
        each, and the numbers of those pairs.

    Raises:
        CalibrationError: no pair shows it to both; it says how many each camera saw.
    """
    thermal_points, visible_points, used = [], [], []
    seen = [0, 0]
    for number, (visible, thermal) in enumerate(pairs):
        corners = [find(visible, board), find(thermal, board)]
        for side, found in enumerate(corners):
            seen[side] += found is not None
        theirs, ours = corners
        if ours is None or theirs is None:
            continue
        thermal_points.append(ours.reshape(-1, 2))
        visible_points.append(match_order(ours, theirs, board).reshape(-1, 2))
        used.append(number)
    if not used:
        raise CalibrationError(
            str(board),
            f'seen by RGB in {seen[0]} and by thermal in {seen[1]} of {len(pairs)} pairs',
            'a pair in which both see it whole: heat the board, count its INNER corners, or use '
            '--method edges or points',
        )
    return thermal_points, visible_points, used


def _detect(grey: U8, board: Board) -> NDArray[np.float32] | None:
    import cv2

    size = (board.columns, board.rows)
    if board.kind == 'chessboard':
        flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
        found, corners = cv2.findChessboardCornersSB(grey, size, flags=flags)
        if not found:
            found, corners = cv2.findChessboardCorners(
                grey, size, flags=cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
            )
            if found:
                ending = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 50, 0.01)
                corners = cv2.cornerSubPix(grey, corners, (5, 5), (-1, -1), ending)
    else:
        symmetric = board.kind == 'circles'
        flags = cv2.CALIB_CB_SYMMETRIC_GRID if symmetric else cv2.CALIB_CB_ASYMMETRIC_GRID
        found, corners = cv2.findCirclesGrid(grey, size, flags=flags | cv2.CALIB_CB_CLUSTERING)
        if not found:
            found, corners = cv2.findCirclesGrid(grey, size, flags=flags)
    return np.asarray(corners, np.float32) if found else None


def _likeness(thermal: F64, visible: F64) -> float:
    """Return 2 where rows and columns run the same way in both pictures, -2 where against it."""
    total = 0.0
    for along in (lambda grid: grid[:, -1] - grid[:, 0], lambda grid: grid[-1] - grid[0]):
        ours, theirs = along(thermal).sum(axis=0), along(visible).sum(axis=0)
        total += float(ours @ theirs / (np.linalg.norm(ours) * np.linalg.norm(theirs) + 1e-12))
    return total
