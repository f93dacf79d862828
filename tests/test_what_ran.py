"""The table at the end of a run, by a run of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ONE = """
import pytest
def test_a(): pass
@pytest.mark.parametrize('n', range(3))
def test_b(n): pytest.skip(f'needs {"a GPU" if n else "ROS"}')
def test_c(): assert False
@pytest.mark.xfail(reason='a bug')
def test_e(): assert False
@pytest.fixture
def broken(): raise RuntimeError
def test_d(broken): pass
"""


def test_the_table(tmp_path: Path) -> None:
    (tmp_path / 'conftest.py').write_text('from what_ran import pytest_terminal_summary')
    (tmp_path / 'test_one.py').write_text(ONE)
    (tmp_path / 'test_other.py').write_text('import pytest\npytest.importorskip("no_such_module")')
    result = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(TESTS)},
        timeout=60,
        check=False,
    )
    head, one, other, total = (
        line
        for line in result.stdout.splitlines()
        if line.startswith(('what ran', 'test_one.py ', 'test_other.py ', 'total '))
    )
    assert head.split() == [
        'what',
        'ran',
        'passed',
        'failed',
        'skipped',
        'seconds',
        'why',
        'skipped',
    ]
    assert one.split()[:4] == ['test_one.py', '1', '2', '4']
    assert one.endswith('1 x needs ROS; 2 x needs a GPU; 1 x known to fail: a bug')
    assert other.split()[:4] == ['test_other.py', '0', '0', '1']
    assert "1 x could not import 'no_such_module'" in other
    assert total.split()[:4] == ['total', '1', '2', '5']
