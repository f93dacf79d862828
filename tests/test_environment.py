"""tools/environment.sh with stand-ins for Python: nothing is installed here."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(platform.machine() != 'x86_64', reason='wheels are x86-64 only')

ROOT = Path(__file__).resolve().parents[1]
# Says a version, makes a virtual environment out of itself, installs anything.
FAKE = """#!/usr/bin/env bash
case "$*" in
    *sys.version_info*) echo VERSION ;;
    "-m venv"*)
        mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python"
        [ -e PIP ] && touch "${@: -1}/pip" # ensurepip; without it the folder stays half made
        ;;
    "-m pip --version") [ -e "$(dirname "$0")/../pip" ] ;;
    "-m pip install"*) [ -e "$(dirname "$0")/../pip" ] && echo "INSTALL $*" ;;
    *) exit 1 ;;
esac
"""


def make(
    folder: Path, kind: str, version: str, pip: bool = True, **extra: str
) -> subprocess.CompletedProcess[str]:
    python = folder / 'fakepython'
    python.write_text(
        FAKE.replace('VERSION', version, 1).replace('PIP', '/' if pip else '/none', 1)
    )
    python.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k != 'ROS_DISTRO'}
    return subprocess.run(
        [str(ROOT / 'tools' / 'environment.sh'), str(folder / 'venv'), kind],
        env={**environment, 'PYTHON': str(python), **extra},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize(
    ('kind', 'version', 'fits'),
    [
        ('demo', '3.9', False),
        ('demo', '3.10', True),
        ('demo', '3.13', True),
        ('demo', '3.14', True),
        ('demo', '3.15', False),
        ('demo', '4.0', False),
        ('dev', '3.12', True),
        ('dev', '3.13', False),
    ],
)
def test_versions_of_python(tmp_path: Path, kind: str, version: str, fits: bool) -> None:
    result = make(tmp_path, kind, version)
    assert (result.returncode == 0) is fits, result.stderr
    assert (tmp_path / 'venv' / f'.ready-{kind}').exists() is fits
    if not fits:
        assert f'is Python {version}; supported is Python 3.10 to 3.1' in result.stderr


def test_a_half_made_environment_is_finished(tmp_path: Path) -> None:
    """As on Debian without python3-venv: it fails, the user installs that and tries again."""
    result = make(tmp_path, 'demo', '3.11', pip=False)
    assert result.returncode == 1
    assert 'apt install python3-venv' in result.stderr
    assert (tmp_path / 'venv' / 'bin' / 'python').exists()
    result = make(tmp_path, 'demo', '3.11')
    assert result.returncode == 0, result.stderr
    assert 'requirements/runtime.txt' in result.stdout


def test_the_version_of_a_finished_environment_counts(tmp_path: Path) -> None:
    assert make(tmp_path, 'demo', '3.13').returncode == 0
    result = make(tmp_path, 'dev', '3.12')
    assert result.returncode == 1
    assert 'is Python 3.13' in result.stderr
    assert 'make clean' in result.stderr


@pytest.mark.parametrize(
    ('kind', 'told', 'option'),
    [
        ('dev', '', '--no-compile'),
        ('dev', '1', '--compile'),  # else every start of Python would compile torch again
        ('demo', '', '--compile'),
    ],
)
def test_modules_are_compiled_where_python_will_not(
    tmp_path: Path, kind: str, told: str, option: str
) -> None:
    result = make(tmp_path, kind, '3.11', PYTHONDONTWRITEBYTECODE=told)
    assert result.returncode == 0, result.stderr
    assert f' {option} ' in result.stdout
