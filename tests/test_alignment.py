"""Homographies found again: without a board, from boards, from points; and what is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from rigs import drawn, errors, moved, real, rig

from paif_ros.errors import CalibrationError
from paif_ros.registration.alignment.align import align, refine
from paif_ros.registration.alignment.board import Board, find, find_both, match_order
from paif_ros.registration.alignment.fit import Residual, estimate, fit, transfer
from paif_ros.registration.alignment.points import _Sheet, click, read
from paif_ros.registration.edges import MIN_CORRELATION, edge_correlation, edge_shift

SIZES = {'thermal_size': (320, 240), 'visible_size': (640, 480), 'method': 'test'}
TRUE = np.array([[1.7, 0.05, 40.0], [-0.04, 1.65, 30.0], [8e-5, -5e-5, 1.0]])


# --- without a board


@pytest.mark.parametrize('seed', [0, 1, 2])
def test_drawn_scenes_are_aligned_to_a_quarter_pixel(seed: int) -> None:
    homography, size = rig(seed)
    found = align(moved(drawn(4), homography, size))
    away = errors(found.homography, homography, size)
    assert np.median(away) < 0.25
    assert away.max() < 1.5
    assert found.residual is not None
    assert found.residual.held_out
    assert found.residual.median < 0.6
    assert found.calibration(size, (640, 480)).residual_px == round(found.residual.median, 3)


@pytest.fixture(scope='module')
def own() -> np.ndarray:
    """What is left of the real pictures' own registration."""
    return refine(real(), np.eye(3))


@pytest.mark.parametrize('seed', [1, 4])
def test_real_pictures_moved_by_a_known_homography(own: np.ndarray, seed: int) -> None:
    """Four pairs of people on a pier, on a square and in smoke.

    They are registered to a pixel or so by those who took them; what is left of that is found
    first, so that the known part is measured against it.
    """
    assert np.median(errors(own, np.eye(3), (640, 480))) < 1.5
    homography, size = rig(seed)
    found = align(moved(real(), homography, size))
    away = errors(found.homography, own @ homography, size)
    assert np.median(away) < 1.0
    assert away.max() < 4.0


def test_a_low_resolution_camera_with_a_wider_view() -> None:
    """A thermal picture of 160x120 that sees more than the RGB camera."""
    homography = np.array([[4.8, 0.1, -70.0], [-0.1, 4.8, -40.0], [0.0, 0.0, 1.0]])
    back = np.linalg.inv(homography)
    pairs = []
    for visible, thermal in drawn(4):
        fine = cv2.warpPerspective(
            thermal, np.diag([4.0, 4.0, 1.0]) @ back, (640, 480), borderMode=cv2.BORDER_REPLICATE
        )
        pairs.append((visible, cv2.resize(fine, (160, 120), interpolation=cv2.INTER_AREA)))
    half_pixel = np.array([[1, 0, 0.375], [0, 1, 0.375], [0, 0, 1]])
    found = align(pairs)
    inside = errors(found.homography, homography @ half_pixel, (160, 120))
    assert np.median(inside) < 2.5  # half a thermal pixel


def test_strangers_are_refused() -> None:
    """Thermal pictures of other scenes: nothing that could be written."""
    for pairs in (drawn(4), real()):
        strangers = [
            (visible, pairs[(index + 2) % len(pairs)][1])
            for index, (visible, _) in enumerate(pairs)
        ]
        with pytest.raises(CalibrationError) as caught:
            align(strangers)
        assert caught.value.key in ('edges', 'residual', 'mutual information')


def test_empty_pictures_are_refused() -> None:
    """Two pairs: with fewer to vote, chance agrees more often."""
    grey = np.full((240, 320), 90, np.uint8)
    noise = np.random.default_rng(0).integers(85, 95, (240, 320), np.uint8)
    for thermal in (grey, noise):
        with pytest.raises(CalibrationError, match='outlines'):
            align([(visible, thermal) for visible, _ in drawn(4)[:2]])
    with pytest.raises(CalibrationError, match='one or more'):
        align([])
    with pytest.raises(CalibrationError, match='one size'):
        align([drawn(4)[0], (drawn(4)[1][0], grey)])


# --- how well edges agree


def test_edges_agree_only_where_registered() -> None:
    for pairs in (real(), drawn(4)):
        found = [edge_correlation(visible, thermal) for visible, thermal in pairs]
        away = [edge_correlation(v, np.roll(t, (30, 60), (0, 1))) for v, t in pairs]
        values = np.array([found, away], np.float64)
        assert values[0].mean() > 0.35
        assert values[1].mean() < MIN_CORRELATION
        assert (values[0] > values[1]).all()


def test_edges_of_nothing() -> None:
    visible, thermal = real()[0]
    valid = np.zeros(thermal.shape, np.uint8)
    assert edge_correlation(visible, thermal, valid) is None
    assert edge_correlation(np.zeros_like(visible), thermal) is None
    assert edge_correlation(visible, np.full_like(thermal, 128)) is None
    assert edge_shift(visible, thermal, valid) is None
    valid[100:400, 100:500] = 255
    outside = np.where(valid > 0, thermal, 0).astype(np.uint8)
    inner = edge_correlation(visible, outside, valid)
    assert inner is not None
    assert inner > 0.3, 'the border of the field of view is no edge'


@pytest.mark.parametrize('shift', [(0, 0), (12, -8), (-25, 14)])
def test_a_shift_is_measured(shift: tuple[int, int]) -> None:
    for visible, thermal in drawn(4):
        found = edge_shift(visible, np.roll(thermal, shift, (1, 0)))
        assert found is not None
        assert found[:2] == pytest.approx((-shift[0], -shift[1]), abs=2.0)


# --- boards


def chessboard(columns: int = 8, rows: int = 6, square: int = 40) -> np.ndarray:
    cells = np.indices((rows + 1, columns + 1)).sum(axis=0) % 2
    board = np.kron(cells, np.ones((square, square))) * 200 + 30
    return np.pad(board, square, constant_values=230).astype(np.uint8)


def circles(columns: int, rows: int, asymmetric: bool) -> np.ndarray:
    pitch, radius = 60, 17
    if asymmetric:
        places = [(2 * c + r % 2, r) for r in range(rows) for c in range(columns)]
        pitch = 36
        radius = 14
    else:
        places = [(c, r) for r in range(rows) for c in range(columns)]
    wide, high = (max(p[axis] for p in places) for axis in (0, 1))
    board = np.full(((high + 3) * pitch, (wide + 3) * pitch), 230, np.uint8)
    for x, y in places:
        cv2.circle(board, (round((x + 1.5) * pitch), round((y + 1.5) * pitch)), radius, 30, -1)
    return board


BOARDS = {
    'chessboard 8x6': (Board('chessboard', 8, 6), chessboard()),
    'square chessboard': (Board('chessboard', 7, 7), chessboard(7, 7)),
    'circles 7x5': (Board('circles', 7, 5), circles(7, 5, False)),
    'acircles 4x9': (Board('acircles', 4, 9), circles(4, 9, True)),
}


def board_pairs(
    board: np.ndarray, count: int, inverted: bool = True, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The board here and there in the RGB picture, and as the thermal camera sees it."""
    rng = np.random.default_rng(seed)
    high, wide = board.shape
    pairs = []
    for _ in range(count):
        size = rng.uniform(230, 290)
        middle = rng.uniform((210, 190), (430, 290))
        flat = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (size / 2, size / 2 * high / wide)
        angle = np.radians(rng.uniform(-20, 20))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = flat @ turn.T + middle + rng.uniform(-12, 12, (4, 2))
        own = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
        place = cv2.getPerspectiveTransform(own, corners.astype(np.float32))
        grey = cv2.warpPerspective(board, place, (640, 480), borderValue=120)
        grey = cv2.GaussianBlur(grey, (0, 0), 0.8)
        warm = 255 - board if inverted else board
        heat = cv2.warpPerspective(warm, np.linalg.inv(TRUE) @ place, (320, 240), borderValue=120)
        heat = cv2.GaussianBlur(heat // 3 + 60, (0, 0), 0.7)
        noise = rng.normal(0, 2, heat.shape)
        pairs.append((cv2.merge([grey] * 3), np.clip(heat + noise, 0, 255).astype(np.uint8)))
    return pairs


@pytest.mark.parametrize('name', BOARDS)
@pytest.mark.parametrize('inverted', [False, True])
def test_boards(name: str, inverted: bool) -> None:
    """Warm squares are bright to one camera and dark to the other."""
    board, picture = BOARDS[name]
    pairs = board_pairs(picture, 5, inverted)
    thermal, visible, used = find_both(pairs, board)
    assert len(used) >= 4
    found = estimate(thermal, visible, **SIZES)
    assert found.residual is not None
    assert found.residual.held_out
    assert found.residual.median < 0.5
    assert np.median(errors(found.homography, TRUE, (320, 240))) < 0.5


def test_the_order_of_corners() -> None:
    board = Board('chessboard', 8, 6)
    grid = np.stack(np.meshgrid(np.arange(8.0), np.arange(6.0)), axis=-1)
    assert np.array_equal(match_order(grid, grid[::-1, ::-1] + 5, board), grid + 5)
    square = Board('chessboard', 5, 5)
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(5.0)), axis=-1)
    for turns in range(4):
        turned = np.rot90(grid, turns).copy() + 5
        assert np.array_equal(match_order(grid, turned, square), grid + 5)


def test_boards_that_are_not_there() -> None:
    visible, thermal = real()[0]
    with pytest.raises(CalibrationError, match='INNER'):
        find_both([(visible, thermal)], Board('chessboard', 8, 6))
    only_rgb = board_pairs(chessboard(), 1)[0][0]
    assert find(only_rgb, Board('chessboard', 8, 6)) is not None
    with pytest.raises(CalibrationError, match='RGB in 1 and by thermal in 0 of 1'):
        find_both([(only_rgb, np.full((240, 320), 90, np.uint8))], Board('chessboard', 8, 6))
    for kind, size in (('chessboard', '8'), ('chessboard', '2x9'), ('dots', '4x4'),
                       ('circles', '1x4'), ('circles', '4x99')):  # fmt: skip
        with pytest.raises(CalibrationError):
            Board.parse(kind, size)


# --- points


def picked(count: int, noise: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    thermal = rng.uniform((10, 10), (310, 230), (count, 2))
    return thermal, transfer(TRUE, thermal) + rng.normal(0, noise, (count, 2))


def groups(points: np.ndarray) -> list[np.ndarray]:
    return list(points.reshape(-1, 1, 2))


def test_clicked_points_with_some_wrong_ones() -> None:
    thermal, visible = picked(20)
    visible[[3, 8, 15]] += (80, -60)
    found = estimate(groups(thermal), groups(visible), **SIZES)
    assert np.median(errors(found.homography, TRUE, (320, 240))) < 1.0
    assert found.residual is not None
    assert found.residual.median < 1.5
    assert found.residual.largest > 50, 'the wrong ones are not hidden'


def test_four_points_leave_nothing_to_measure() -> None:
    thermal = np.array([[20.0, 20], [300, 25], [290, 220], [15, 230]])
    found = estimate(groups(thermal), groups(transfer(TRUE, thermal)), **SIZES)
    assert np.allclose(found.homography / found.homography[2, 2], TRUE, atol=1e-6)
    assert found.residual is None
    assert 'nothing is left to measure' in found.notes[0]


def test_points_that_can_not_do() -> None:
    thermal, visible = picked(12)
    line = np.stack([np.linspace(10, 300, 12), np.linspace(20, 200, 12)], axis=1)
    patch = 100 + (thermal - thermal.mean(axis=0)) / 30
    cases = [
        (thermal[:3], visible[:3], '4 or more'),
        (line, transfer(TRUE, line), 'both sides'),
        (thermal, np.roll(visible, 5, axis=0), 'same order'),
        (thermal + 400, visible, 'within each picture'),
        (patch, transfer(TRUE, patch), '2% or more'),
        (np.zeros((0, 2)), np.zeros((0, 2)), '4 or more'),
    ]
    for ours, theirs, words in cases:
        with pytest.raises(CalibrationError, match=words):
            estimate(groups(ours), groups(theirs), **SIZES)
    rough = picked(40, noise=3.0)
    with pytest.raises(CalibrationError, match='px or less'):
        estimate(groups(rough[0]), groups(rough[1]), **SIZES, max_residual=3.0)


def test_points_that_leave_the_homography_open() -> None:
    """Three of four on a line, or all but one: whatever OpenCV makes of them."""
    three = np.array([[10.0, 10], [100, 100], [200, 200], [300, 40]])
    along = np.linspace(10, 220, 9)
    all_but_one = np.vstack([np.stack([along, along], axis=1), [[300.0, 40.0]]])
    for thermal in (three, all_but_one):
        with pytest.raises(CalibrationError, match='no three'):
            fit(thermal, transfer(TRUE, thermal), 3.0)
    with pytest.raises(CalibrationError, match='no three'):
        fit(three, np.array([[10.0, 10], [300, 20], [290, 300], [30, 200]]), 3.0)


def test_residual() -> None:
    residual = Residual.of([1.0, 2.0, 3.0, 4.0, 100.0], held_out=True)
    assert (residual.median, residual.largest, residual.count) == (3.0, 100.0, 5)
    assert 'held out' in str(residual)


def test_point_files(tmp_path: Path) -> None:
    expected = np.array([[1.0, 2.0], [5.5, 6.0]]), np.array([[3.0, 4.0], [7.0, 8e-3]])
    texts = {
        'a.csv': 'tx,ty,vx,vy\n# comment\n1,2,3,4\n\n5.5, 6 ,7,8e-3\n',
        'a.yaml': 'points:\n- [1, 2, 3, 4]\n- [5.5, 6, 7, 8e-3]\n',
        'b.yml': '[[1, 2, 3, 4], [5.5, 6, 7, 8e-3]]',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        thermal, visible = read(tmp_path / name)
        assert np.array_equal(thermal, expected[0])
        assert np.array_equal(visible, expected[1])
    for name, text in (
        ('c.csv', ''), ('d.csv', '1,2,3'), ('e.csv', '1,2,3,x'), ('f.csv', '1,2,3,nan'),
        ('g.yaml', 'points: 3'), ('h.yaml', '[[1, 2, 3]]'), ('i.yaml', '{'),
        ('j.yaml', 'a: &a [1]\nb: *a'), ('k.csv', '1,2,3,4\n' * 10001),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(CalibrationError):
            read(tmp_path / name)
    with pytest.raises(CalibrationError, match='readable'):
        read(tmp_path / 'missing.csv')


def test_clicks_become_pixels_of_both_pictures() -> None:
    visible, thermal = np.zeros((1200, 1600, 3), np.uint8), np.zeros((300, 400), np.uint8)
    sheet = _Sheet(visible, thermal)  # 600 high: thermal 800 wide at double size, RGB at half
    sheet.add(200, 100)
    sheet.add(210, 100)  # a second click on the same side is none
    sheet.add(800 + 50, 20)
    sheet.add(800 + 60, 30)
    sheet.undo()
    ours, theirs = sheet.points()
    assert ours.tolist() == [[99.75, 49.75]]
    assert theirs.tolist() == [[100.5, 40.5]]
    assert sheet.draw().shape == (600, 1600, 3)


def test_no_window_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    if 'GUI:                           NONE' not in cv2.getBuildInformation():
        pytest.skip('this OpenCV may open a window')
    with pytest.raises(CalibrationError, match='--points FILE'):
        click(np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8))
