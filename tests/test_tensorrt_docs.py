"""docs/tensorrt.md and docs/roofline.md say what the code says and what the counts are."""

from __future__ import annotations

import ast
import dataclasses
import re
from functools import lru_cache
from pathlib import Path

import pytest
from documents import rendered

from paif_ros.engines import BACKENDS
from paif_ros.tensorrt import cuda, parity, prepare
from paif_ros.tensorrt.fingerprint import Fingerprint
from paif_ros.tensorrt.preflight import KNOWN_BAD

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs' / 'tensorrt.md').read_text()
ROOFLINE = (ROOT / 'docs' / 'roofline.md').read_text()
SHIPPED = ROOT / 'models' / 'weights' / 'paif_small.onnx'
CODE = (
    *sorted((ROOT / 'paif_ros' / 'tensorrt').glob('*.py')),
    *sorted((ROOT / 'paif_ros' / 'engines').glob('*.py')),
    ROOT / 'paif_ros' / 'errors.py',
    ROOT / 'export' / 'to_trt.py',
)


@lru_cache
def texts() -> tuple[str, ...]:
    """Every text of the code, docstrings left out."""
    found = []
    for path in CODE:
        tree = ast.parse(path.read_text())
        for owner in ast.walk(tree):
            if isinstance(
                owner, ast.Module | ast.ClassDef | ast.FunctionDef
            ) and ast.get_docstring(owner):
                owner.body[0] = ast.Pass()  # which nobody gets to see
        found += [text for n in ast.walk(tree) if (text := rendered(n)) is not None]  # type: ignore[arg-type]
    return tuple(found)


def quoted() -> list[str]:
    """The code of the first column of every table of the troubleshooting section."""
    section = PAGE.split('## Troubleshooting')[1].split('\n## ')[0]
    found = []
    for line in section.splitlines():
        if line.startswith('| `'):
            found += re.findall(r'`([^`]+)`', line.split(' | ')[0])
    return found


def test_there_are_many_quotes() -> None:
    assert len(quoted()) > 55
    assert len(quoted()) == len(set(quoted()))


@pytest.mark.parametrize('quote', quoted())
def test_every_quoted_text_is_in_the_code(quote: str) -> None:
    assert any(quote in text for text in texts()), f'no code says: {quote}'


def test_the_check_would_find_a_text_that_is_not_there() -> None:
    assert not any('the GPU is too cold' in text for text in texts())
    assert not any('Turns a serialized engine' in text for text in texts())


def test_every_cuda_error_with_a_remedy_is_listed() -> None:
    assert set(cuda.REMEDIES) <= set(quoted())


def test_every_field_of_a_fingerprint_is_explained() -> None:
    for field in dataclasses.fields(Fingerprint):
        assert f'`{field.name}`' in PAGE


def test_reported_versions_and_bounds_are_those_of_the_code() -> None:
    for bad in KNOWN_BAD:
        for number in re.findall(r'#\d+', bad.text):
            assert number in PAGE
        assert '.'.join(map(str, bad.first)) in PAGE
    assert f'{parity.MASK_AGREEMENT * 100:.1f} %' in PAGE
    assert f'{parity.MASK_AGREEMENT_INT8 * 100:.1f} %' in PAGE
    assert f'{parity.FUSED_PSNR:g} dB' in PAGE
    for policy in prepare.ON_MISMATCH:
        assert policy in PAGE
    for backend in BACKENDS:
        assert f'{backend}' in PAGE


def test_versions_of_the_stand_ins_are_those_of_the_table() -> None:
    folder = ROOT / 'tests' / 'data' / 'tensorrt_api'
    versions = [p.stem.removeprefix('api_') for p in folder.glob('api_1[01]*.json')]
    assert len(versions) == 6
    for version in versions:
        assert '.'.join(version.split('.')[:3]) in PAGE


def test_links_lead_somewhere() -> None:
    for page in (PAGE, ROOFLINE):
        for target in re.findall(r'\]\(([^)#]+\.md)\)', page):
            assert (ROOT / 'docs' / target).is_file(), target


def test_commands_name_options_that_are_there() -> None:
    from export.to_trt import _parser

    known = set(_parser()._option_string_actions)
    used = {'--json', '--workspace', '--optimization-level', '--profile'}
    assert used <= known
    assert all(option in PAGE for option in used)
    for name in re.findall(r'engine\.([a-z_]+)', PAGE):
        assert name in (ROOT / 'paif_ros' / 'parameters.yaml').read_text() or name in (
            'backend',
            'provider',
            'precision',
            'progress',
        )


# ---- docs/roofline.md


def block(name: str) -> list[list[str]]:
    inside = ROOFLINE.split(f'<!-- {name}: begin -->')[1].split(f'<!-- {name}: end -->')[0]
    lines = [line for line in inside.strip().splitlines() if not line.startswith('|---')]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]


def test_projected_figures_are_those_of_the_command() -> None:
    pytest.importorskip('onnx', reason='onnx is a development dependency')
    from benchmarks.roofline import of_file
    from benchmarks.roofline_tables import counts_table, latency_table, peers_table

    row = of_file(SHIPPED, 30.0)
    head, figures = latency_table([row])
    page = block('projected')
    assert page[0] == head
    (same,) = [line for line in page if line[:3] == ['paif_small', '480x640', 'fp32']]
    assert same[3:] == figures[3:]
    counted = counts_table([row])[1]
    assert f'| paif_small | 480x640 | fp32 | {" | ".join(counted[3:])} |' in ROOFLINE
    assert block('peers') == peers_table()
    assert len(page) == 1 + 3 * 3 * 3


def test_assumptions_are_those_of_the_model() -> None:
    from benchmarks.boards import BOARDS
    from benchmarks.roofline_model import CASES

    for case in CASES.values():
        assert f'{case.tensor * 100:.1f} %' in ROOFLINE
        assert f'{case.memory * 100:.0f} %' in ROOFLINE
    for board in BOARDS:
        rates = (board.fp32 / 1e12, board.fp16 / 1e12, board.int8 / 1e12)
        listed = ' | '.join(f'{rate:g}' for rate in (board.bandwidth / 1e9, *rates))
        assert f'| {board.name} | {listed} |' in ROOFLINE


def test_every_latency_is_marked() -> None:
    assert ROOFLINE.count('*projected*') >= 2
    assert '*Projected*, none of it measured' in PAGE
    assert 'none is measured' in ROOFLINE
