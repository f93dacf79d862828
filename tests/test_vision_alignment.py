"""Top-k vision alignment: as the official code, as a plain computation, and killed as unbroken.

The plain computation holds all patches in memory and sorts them; the command must not.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.datasets import open_dataset
from models.datasets.errors import MissingPartner
from models.datasets.pair import LabelledPair
from models.vision_alignment import Alignment, AlignmentError, Domain, Settings, read_aligned
from models.vision_alignment.__main__ import main
from models.vision_alignment.errors import NoPatchesError, OutputError, TooFewPatchesError
from models.vision_alignment.gamma import (
    apply_tables,
    fit_gammas,
    gamma_table,
    gamma_tables,
    level_counts,
)
from models.vision_alignment.patches import Best, Patch, Scored, corners
from models.vision_alignment.settings import Card
from models.vision_alignment.storage import writer_for

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / 'shared' / 'parity' / 'crossfuse_topk_metrics_seed0.npz'
PATCH, STRIDE, K = 16, 20, 7
SIZE = ['--k', str(K), '--patch', str(PATCH), '--stride', str(STRIDE)]
Bytes = NDArray[np.uint8]


def write_domain(folder: Path, count: int, gain: tuple[float, float, float], seed: int) -> None:
    """Write pairs of smooth blobs whose channels have the given mean levels, more or less."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        rows, cols = (40, 60) if number % 3 else (36, 40)
        coarse = rng.uniform(0.2, 1.8, (4, 5)).astype(np.float32)
        shade = np.asarray(Image.fromarray(coarse).resize((cols, rows)))[..., None]
        noise = rng.normal(0, 4, (rows, cols, 3))
        visible = np.clip(shade * gain * rng.uniform(0.7, 1.3) + noise, 0, 255).astype(np.uint8)
        thermal = rng.integers(0, 256, (rows, cols), np.uint8)
        label = rng.integers(0, 4, (rows, cols), np.uint8)
        for kind, picture in (('vi', visible), ('ir', thermal), ('label', label)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / kind / f'p{number:02d}.png')


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bright target of 5 pairs and a dark external domain of 8."""
    folder = tmp_path_factory.mktemp('domains')
    write_domain(folder / 'target', 5, (120.0, 110.0, 90.0), 0)
    write_domain(folder / 'external', 8, (60.0, 70.0, 80.0), 1)
    return folder


def command(data: Path, out: Path, *more: str) -> list[str]:
    ends = ['--target', str(data / 'target'), '--external', str(data / 'external')]
    return [*ends, '--out', str(out), *SIZE, *more]


@pytest.fixture(scope='module')
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The training sets of both orders, and the official file of one."""
    folder = tmp_path_factory.mktemp('made')
    for out, order in (('code', 'code'), ('paper', 'paper'), ('code.h5', 'code')):
        assert main(command(data, folder / out, '--order', order)) == 0
    return {out.name: out for out in folder.iterdir()}


def all_patches(data: Path, name: str) -> list[LabelledPair]:
    """Return every patch of a domain, in memory."""
    found = []
    for pair in open_dataset(str(data / name)):
        for y in range(0, pair.thermal.shape[0] - PATCH + 1, STRIDE):
            for x in range(0, pair.thermal.shape[1] - PATCH + 1, STRIDE):
                window = np.s_[y : y + PATCH, x : x + PATCH]
                pictures = (pair.visible[window], pair.thermal[window], pair.label[window])
                found.append(LabelledPair(f'{pair.name}_x{x}_y{y}', *pictures))
    return found


def plainly(data: Path, order: str) -> tuple[list[LabelledPair], list[float]]:
    """Return the training set and the exponents (R, G, B), all computed in memory."""
    target, external = (all_patches(data, name) for name in ('target', 'external'))
    wanted = np.mean([pair.visible.mean((0, 1)) for pair in target], axis=0)

    def fitted(pairs: list[LabelledPair]) -> list[float]:
        counts = level_counts(np.stack([pair.visible for pair in pairs]))
        return list(fit_gammas(counts[::-1], wanted[::-1]).gammas[::-1])

    def closest(pictures: list[Bytes]) -> list[int]:
        scores = [np.abs(picture.mean((0, 1)) - wanted).sum() for picture in pictures]
        return sorted(np.argsort(scores, kind='stable')[:K].tolist())

    visible = [pair.visible for pair in external]
    if order == 'code':
        kept = closest(visible)
        gammas = fitted([external[number] for number in kept])
    else:
        gammas = fitted(external)
        kept = closest([apply_tables(picture, gamma_tables(gammas)) for picture in visible])
    aligned = [
        LabelledPair(
            pair.name, apply_tables(pair.visible, gamma_tables(gammas)), pair.thermal, pair.label
        )
        for pair in (external[number] for number in kept)
    ]
    return target + aligned, gammas


def same(found: list[LabelledPair], expected: list[LabelledPair]) -> bool:
    """Compare pictures and the ends of names."""
    return len(found) == len(expected) and all(
        a.name.replace('/', '_').endswith(b.name.replace('/', '_'))
        and np.array_equal(a.visible, b.visible)
        and np.array_equal(a.thermal, b.thermal)
        and np.array_equal(a.label, b.label)
        for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.skipif(not SHARED.is_file(), reason='../shared/parity is not there')
def test_selection_exponents_and_tables_equal_the_official_ones(tmp_path: Path) -> None:
    parity = pytest.importorskip('models.parity', reason='torch is a development dependency')
    with np.load(SHARED) as archive:
        fixture = {key: archive[key] for key in archive.files}
    stored = {key for key in fixture if key.startswith('out/')}
    rows = list(parity.compare_top_k(fixture))
    assert {*stored, 'lut/table', 'crop/names, others'} <= {row.name for row in rows}
    assert not [row for row in rows if not row.passed]
    fixture['out/topk_index'] = fixture['out/topk_index'][::-1]
    fixture['lut/table'] = fixture['lut/table'] + np.uint8(1)
    fixture['crop/names'] = fixture['crop/names'][1:]
    wrong = {row.name for row in parity.compare_top_k(fixture) if not row.passed}
    assert wrong == {'out/topk_index', 'lut/table', 'crop/names, others'}


@pytest.mark.parametrize('order', ['code', 'paper'])
def test_the_command_gives_what_sorting_in_memory_gives(
    made: dict[str, Path], data: Path, order: str
) -> None:
    expected, gammas = plainly(data, order)
    card = json.loads((made[order] / 'alignment.json').read_text())
    assert card['gammas'] == gammas
    assert same(read_aligned(made[order]), expected)
    assert same(open_dataset(str(made[order])), expected)  # any reader of folders will do
    assert card['distance_after'] < 2 < card['distance_before']
    assert card['score_after'] < card['score_before']
    assert card['written'] == len(expected) == card['target_patches'] + K


def test_both_orders_choose_differently(made: dict[str, Path]) -> None:
    names = [{pair.name[7:] for pair in read_aligned(made[order])} for order in ('code', 'paper')]
    assert names[0] != names[1]


def test_the_official_file_holds_luma_and_is_read_back(made: dict[str, Path]) -> None:
    h5py = pytest.importorskip('h5py', reason='h5py is a development dependency')
    colours, greys = read_aligned(made['code']), read_aligned(made['code.h5'])
    assert len(colours) == len(greys)
    for colour, grey in zip(colours, greys, strict=True):
        luma = colour.visible @ (0.299, 0.587, 0.114)
        assert np.abs(grey.visible - luma[..., None]).max() <= 0.501
        assert np.array_equal(grey.thermal, colour.thermal)
        assert (grey.label == 255).all()
    with h5py.File(made['code.h5']) as file:
        patch = file['vis_patchs/0']
        assert (patch.shape, patch.dtype) == ((1, PATCH, PATCH), np.float32)
        assert np.abs(patch[0] * 255 - colours[0].visible @ (0.299, 0.587, 0.114)).max() < 1e-3
        assert json.loads(file.attrs['alignment'])['written'] == len(greys)


def killed(data: Path, out: Path, save: int, order: str) -> None:
    """Run the command in a process that SIGKILL ends as its state is saved the nth time."""
    code = f"""
import os, signal, sys
from models.vision_alignment.__main__ import main
from models.vision_alignment.state import State
save, left = State.save, {save}
def last(self, path):
    global left
    save(self, path)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
State.save = last
main({command(data, out, '--save-every', '1', '--order', order)!r})
"""
    result = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, check=False
    )
    assert result.returncode == -signal.SIGKILL, result.stderr.decode()


def test_killed_twice_it_ends_with_the_same_files(
    made: dict[str, Path], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'paper'
    killed(data, out, 11, 'paper')  # 1 at the start, 5 of the target, 1 behind it: gathering
    assert json.loads((out / 'state.json').read_text())['stage'] == 1
    with pytest.raises(OutputError, match='unfinished'):
        read_aligned(out)
    killed(data, out, 16, 'paper')
    state = json.loads((out / 'state.json').read_text())
    assert (state['stage'], state['following']) == (3, 2)
    seen = count_reads(lambda: main(command(data, out, '--save-every', '1', '--order', 'paper')))
    assert 'goes on from' in capsys.readouterr().out
    assert 0 < seen <= 3 + K  # what was left of the last stage: nothing is read again
    assert not (out / 'state.json').exists()
    files = {path.relative_to(out) for path in out.rglob('*') if path.is_file()}
    reference = made['paper']
    assert files == {p.relative_to(reference) for p in reference.rglob('*') if p.is_file()}
    assert all((out / name).read_bytes() == (reference / name).read_bytes() for name in files)


def test_a_killed_hdf5_file_never_takes_its_name_half_written(
    made: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    out = tmp_path / 'code.h5'
    killed(data, out, 1 + 5 + 1 + 8 + 1 + 5, 'code')
    assert not out.exists()
    assert main(command(data, out)) == 0
    assert same(read_aligned(out), read_aligned(made['code.h5']))
    assert {path.name for path in tmp_path.iterdir()} == {'code.h5'}


def count_reads(call: Callable[[], int]) -> int:
    """Return how many samples a successful call reads."""
    found = 0
    whole = Domain.pairs

    def counted(self: Domain, number: int) -> list[LabelledPair]:
        nonlocal found
        found += 1
        return whole(self, number)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Domain, 'pairs', counted)
        assert call() == 0
    return found


def test_no_more_than_two_pictures_are_in_memory(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is looked at, and the one before while the next one is read."""
    alive: weakref.WeakSet[LabelledPair] = weakref.WeakSet()
    most = 0
    whole = Domain.pairs

    class Watched(LabelledPair):
        __hash__ = object.__hash__  # a WeakSet asks for it; arrays have none

    def watched(self: Domain, number: int) -> list[LabelledPair]:
        nonlocal most
        pairs = [Watched(p.name, p.visible, p.thermal, p.label) for p in whole(self, number)]
        alive.update(pairs)
        most = max(most, len(alive))
        return pairs

    monkeypatch.setattr(Domain, 'pairs', watched)
    assert main(command(data, tmp_path / 'out')) == 0
    assert 1 <= most <= 2


def test_the_heap_keeps_what_a_stable_sort_keeps() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 50, 2000).astype(float)  # many are equal
    best = Best(37)
    for number, value in enumerate(scores):
        if number == 900:  # as after a kill, through JSON
            items = json.loads(json.dumps(best.items()))
            best = Best(37, best.offered, best.total, items)
        best.offer(Scored(value, Patch(number, 0, 0, 0)))
        assert len(best.items()) <= 37
    kept = [scored.patch.sample for scored in best.kept]
    assert kept == np.argsort(scores, kind='stable')[:37].tolist()
    assert best.offered == 2000


def test_exponents_far_from_the_start_are_found_too() -> None:
    """Nelder-Mead from 0.5 stalls on dark pictures, and is started anew."""
    rng = np.random.default_rng(3)
    dark = np.clip(rng.gamma(1.5, 14, (20000, 3)) * (1.0, 1.2, 0.8), 0, 255).astype(np.uint8)
    fit = fit_gammas(level_counts(dark), np.array((152.0, 150.0, 146.0)))
    assert fit.after < 0.5
    assert all(gamma > 2 for gamma in fit.gammas)
    means = apply_tables(dark, gamma_tables(fit.gammas)).mean(0)
    assert np.abs(means - (152, 150, 146)).sum() == pytest.approx(fit.after, abs=1e-9)
    same = fit_gammas(level_counts(dark), dark.mean(0))
    assert same.gammas == pytest.approx((1, 1, 1), abs=0.01)


def test_tables_and_corners() -> None:
    assert np.array_equal(gamma_table(1.0), np.arange(256))
    assert gamma_table(2.0)[64] == int(255 * (64 / 255) ** 0.5)
    assert corners((700, 760, 3), 64, 200)[:5] == [(0, 0), (200, 0), (400, 0), (600, 0), (0, 200)]
    assert corners((64, 64), 64, 1) == [(0, 0)]
    assert corners((63, 64), 64, 1) == []
    with pytest.raises(ValueError, match='gamma 0'):
        gamma_table(0.0)
    with pytest.raises(ValueError, match='pixels in the channels'):
        fit_gammas(np.zeros((3, 256), np.int64), np.zeros(3))


def test_the_targets_own_patches_and_their_split(data: Path, tmp_path: Path) -> None:
    main(command(data, tmp_path / 'bare', '--external-only'))
    bare = read_aligned(tmp_path / 'bare')
    assert len(bare) == K
    assert same(bare, plainly(data, 'code')[0][-K:])
    for split, first, last in (('train', 0, 3), ('test', 3, 5)):
        for number in range(first, last):
            for kind in ('vi', 'ir', 'label'):
                there = tmp_path / 'split' / split / kind
                there.mkdir(parents=True, exist_ok=True)
                source = data / 'target' / kind / f'p{number:02d}.png'
                (there / source.name).write_bytes(source.read_bytes())
    split = ['--target', str(tmp_path / 'split'), '--target-split', 'train']
    assert main([*command(data, tmp_path / 'part'), *split]) == 0
    card = json.loads((tmp_path / 'part' / 'alignment.json').read_text())
    assert card['gammas'] == plainly(data, 'code')[1]  # statistics are of all splits
    assert card['settings']['training'] == [str(tmp_path / 'split'), 'train']
    test = sum('test_p' in pair.name for pair in read_aligned(tmp_path / 'part'))
    assert test == 0
    assert card['written'] < card['target_patches'] + K


def refused(data: Path, out: Path, *more: str) -> str:
    """Return what the command says as it exits with 2."""
    with pytest.MonkeyPatch.context() as patched:
        said: list[str] = []
        patched.setattr(sys, 'stderr', type('', (), {'write': lambda _, t: said.append(t)})())
        assert main(command(data, out, *more)) == 2
    return ''.join(said)


def test_what_is_wrong_is_named_before_anything_is_read(data: Path, tmp_path: Path) -> None:
    settings, out = Settings(K, PATCH, STRIDE), tmp_path / 'out'
    target, external = (Domain.open(str(data / name)) for name in ('target', 'external'))

    def attempt(changed: Settings) -> None:
        Alignment(target, external, writer_for(out), changed).run()

    with pytest.raises(TooFewPatchesError, match='take --k 42 or less') as few:
        attempt(Settings(500, PATCH, STRIDE))
    assert (few.value.k, few.value.found) == (500, len(all_patches(data, 'external')))
    with pytest.raises(NoPatchesError, match='choose a smaller --patch') as none:
        attempt(Settings(K, 64, STRIDE))
    assert (none.value.pictures, none.value.patch) == (5, 64)
    with pytest.raises(ValueError, match='stride 0'):
        Settings(K, PATCH, 0)
    with pytest.raises(ValueError, match="order 'both'"):
        Settings(order='both')
    killed_state = writer_for(out).state
    unfinished = Alignment(target, external, writer_for(out), settings)
    unfinished.state.save(killed_state)
    with pytest.raises(OutputError, match='other settings or pictures'):
        Alignment(target, external, writer_for(out), Settings(K, PATCH, STRIDE + 1))
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'thesis.tex').touch()
    assert 'is not empty' in refused(data, tmp_path / 'full')
    assert 'is a file' in refused(data, tmp_path / 'full' / 'thesis.tex')
    assert 'no such folder' in refused(data, tmp_path / 'new', '--external', str(tmp_path / 'no'))


def test_a_picture_without_its_partner_is_named(data: Path, tmp_path: Path) -> None:
    write_domain(tmp_path / 'odd', 2, (60.0, 60.0, 60.0), 5)
    (tmp_path / 'odd' / 'ir' / 'p01.png').unlink()
    with pytest.raises(MissingPartner, match='p01'):
        Domain.open(str(tmp_path / 'odd'))
    assert 'p01' in refused(data, tmp_path / 'out', '--external', str(tmp_path / 'odd'))


def test_made_already_is_not_made_again(
    made: dict[str, Path], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ('code', 'code.h5'):
        assert count_reads(lambda: main(command(data, made[name]))) == 0  # noqa: B023
        assert 'made already' in capsys.readouterr().out


def test_files_that_are_no_aligned_patches_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip('h5py', reason='h5py is a development dependency')
    good = np.full((1, 4, 4), 0.5, np.float32)
    cases = {
        'same names': {'ir_patchs/0': good, 'vis_patchs/1': good},
        'one size': {'ir_patchs/0': good, 'vis_patchs/0': good[:, :2]},
        r'\[1, H, W\] in 0..1': {'ir_patchs/0': good * 255, 'vis_patchs/0': good},
        'patches in ir_patchs': {'other/0': good},
    }
    for number, (words, patches) in enumerate(cases.items()):
        path = tmp_path / f'{number}.h5'
        with h5py.File(path, 'w') as file:
            for name, values in patches.items():
                file[name] = values
        with pytest.raises(OutputError, match=words):
            read_aligned(path)
    (tmp_path / 'text.h5').write_text('no')
    with pytest.raises(AlignmentError, match='no HDF5 file'):
        read_aligned(tmp_path / 'text.h5')
    with pytest.raises(AlignmentError, match='holds no aligned patches'):
        read_aligned(tmp_path / 'absent')


def test_a_card_is_read_by_people_too() -> None:
    numbers = {'target_patches': 9, 'external_patches': 8, 'written': 5, 'restarts': 2}
    floats = dict.fromkeys(
        ('external_score', 'distance_before', 'distance_after', 'score_before', 'score_after'), 1.5
    )
    card = Card({}, target_means=(1, 2, 3), gammas=(1, 1, 2), converged=False, **numbers, **floats)
    assert '1.0000, 1.0000, 2.0000 (2 new starts) (the optimiser gave up' in str(card)
