"""What a robot gets: colcon builds it, launch finds the executable, and torch stays out."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

import paif_ros
from paif_ros.fastdds import CHOICES, NEW, OLD, profile_environment

ROOT = Path(__file__).resolve().parents[1]
ROS = importlib.util.find_spec('rclpy') is not None


def run(*command: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **extra},
    )


@pytest.fixture(scope='module')
def install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package with colcon, outside the repository. Returns its prefix."""
    if importlib.util.find_spec('colcon_core') is None:
        pytest.skip('colcon-common-extensions is not installed')
    base = tmp_path_factory.mktemp('colcon')
    result = run(
        *(sys.executable, '-m', 'colcon', '--log-base', base / 'log', 'build'),
        *('--base-paths', ROOT, '--packages-select', 'paif_ros'),
        *('--build-base', base / 'build', '--install-base', base / 'install'),
        COLCON_HOME=str(base / 'home'),
        PATH=f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert '1 package finished' in result.stdout
    return base / 'install' / 'paif_ros'


def site_packages(install: Path) -> Path:
    (found,) = install.glob('lib/python*/site-packages')
    return found


def test_only_our_package_is_installed(install: Path) -> None:
    names = {path.name for path in site_packages(install).iterdir()}
    assert {name for name in names if not name.endswith(('-info', '.egg-link'))} == {'paif_ros'}
    installed = {
        str(path.relative_to(site_packages(install)))
        for path in site_packages(install).glob('paif_ros/**/*')
        if path.suffix in ('.py', '.yaml', '.typed')
    }
    source = {
        str(path.relative_to(ROOT))
        for path in ROOT.glob('paif_ros/**/*')
        if path.suffix in ('.py', '.yaml', '.typed')
    }
    assert installed == source


def test_share_files(install: Path) -> None:
    share = install / 'share'
    assert (share / 'ament_index/resource_index/packages/paif_ros').is_file()
    for path in (
        'package.xml',
        'launch/fusion.launch.py',
        'launch/multi.launch.py',
        'config/multi.yaml',
        'config/fusion.yaml',
        'config/fastdds_shm.xml',
        'config/fastdds_shm_small.xml',
        'rviz/fusion.rviz',
    ):
        assert (share / 'paif_ros' / path).is_file(), path
    models = {
        path.name
        for kind in ('onnx', 'parity.npz')
        for path in ROOT.glob(f'models/weights/*.{kind}')
    }
    assert 'paif_small.parity.npz' in models
    assert {path.name for path in share.glob('paif_ros/models/*')} == models


@pytest.mark.skipif(not ROS, reason='needs ROS 2 in this Python')
def test_the_executable_is_where_launch_looks_and_runs(install: Path) -> None:
    executable = install / 'lib' / 'paif_ros' / 'fusion'
    assert os.access(executable, os.X_OK)
    result = run(
        *(executable, '--ros-args', '-p', 'sync.slop:=7.0'),
        PYTHONPATH=str(site_packages(install)),
    )
    assert result.returncode == 1
    assert "parameter 'sync.slop' is 7.0" in result.stderr
    assert 'Traceback' not in result.stderr


def test_one_version_everywhere() -> None:
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    assert package.findtext('version') == paif_ros.__version__
    result = subprocess.run(
        [sys.executable, 'setup.py', '--version'],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    assert result.stdout.split()[-1] == paif_ros.__version__
    assert package.get('format') == '3'
    assert package.findtext('export/build_type') == 'ament_python'


def test_imports_are_declared() -> None:
    """Every module that paif_ros imports is Python's own, a dependency, or named optional."""
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    declared = {item.text for item in package.findall('exec_depend')}
    names = {'cv2': 'python3-opencv', 'numpy': 'python3-numpy', 'yaml': 'python3-yaml'}
    # No Debian packages, see package.xml; TensorRT and the CUDA bindings fit one GPU's driver.
    optional = {'onnxruntime', 'openvino', 'rosbags', 'tensorrt', 'cuda'}
    optional |= {'av', 'lz4', 'mcap', 'ray', 'tqdm', 'zstandard'}  # requirements/replay.txt, Ray
    optional |= {'jinja2', 'markupsafe', 'matplotlib', 'rerun'}  # reports, and looking
    optional |= {'shtab'}  # shell completion
    imported: set[str] = set()
    for path in [*ROOT.glob('paif_ros/**/*.py'), *ROOT.glob('launch/*.py')]:
        text = path.read_text('utf-8')
        imported |= set(re.findall(r'^\s*(?:from|import) (\w+)', text, re.MULTILINE))
    foreign = imported - set(sys.stdlib_module_names) - {'paif_ros'} - optional
    assert {names.get(name, name) for name in foreign} <= declared


def test_the_runtime_imports_without_torch() -> None:
    modules = [
        '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        for path in sorted(ROOT.glob('paif_ros/**/*.py'))
    ]
    if not ROS:
        modules = [n for n in modules if not re.search(r'\.(node|ros)(\.|$)', n)]
    code = (
        'import sys\n'
        'for name in ("torch", "torchvision", "onnx", "safetensors", "models", "export"):\n'
        '    sys.modules[name] = None\n'
        'import importlib\n'
        f'for name in {modules!r}:\n'
        '    importlib.import_module(name.removesuffix(".__init__"))\n'
        'heavy = [n for n in ("onnxruntime", "openvino", "cv2") if n in sys.modules]\n'
        'print("heavy:", heavy)\n'
    )
    result = run(sys.executable, '-c', code, PYTHONPATH=str(ROOT))
    assert result.stdout.strip() == 'heavy: []', result.stdout + result.stderr


def test_profile_only_where_the_user_has_not_chosen() -> None:
    variables = profile_environment('/a.xml', {})
    assert set(variables) <= {NEW, OLD}
    assert set(variables.values()) == {'/a.xml'}
    for name in CHOICES:
        assert profile_environment('/a.xml', {name: 'mine'}) == {}


def documented(profile: Path, **chosen: str) -> subprocess.CompletedProcess[str]:
    """Set the profile as README.md says, in a POSIX shell, and show what a child of it gets."""
    show = f'import os; print([os.environ.get(name) for name in {CHOICES}])'
    script = 'eval "$("$0" -m paif_ros.fastdds "$1")" && "$0" -c "$2"'
    environ = {name: value for name, value in os.environ.items() if name not in CHOICES}
    return subprocess.run(
        ['/bin/sh', '-c', script, sys.executable, profile, show],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environ, 'PYTHONPATH': str(ROOT), **chosen},
    )


@pytest.mark.parametrize('name', ['plain', 'two  spaces', "it's $HOME; `id`"])
def test_the_line_for_a_shell_sets_the_profile(name: str, tmp_path: Path) -> None:
    profile = tmp_path / name / 'a.xml'
    profile.parent.mkdir()
    profile.touch()
    result = documented(profile)
    variables = profile_environment(profile, {})
    assert result.stdout == f'{[variables.get(name) for name in CHOICES]}\n', result.stderr


@pytest.mark.parametrize('name', CHOICES)
def test_the_line_for_a_shell_leaves_a_choice_alone(name: str, tmp_path: Path) -> None:
    """Without a variable to set, `export` alone printed the whole environment."""
    (tmp_path / 'a.xml').touch()
    result = documented(tmp_path / 'a.xml', **{name: 'mine'})
    assert result.stdout == f'{["mine" if known == name else None for known in CHOICES]}\n'
    assert f'{name} is set' in result.stderr


def test_a_profile_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert 'a.xml is not there' in documented(tmp_path / 'a.xml').stderr


@pytest.mark.parametrize(('mebibytes', 'name'), [(64, 'fastdds_shm_small'), (256, 'fastdds_shm')])
def test_the_profile_fits_the_shared_memory(
    mebibytes: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a Docker container the large segments can not be made, and most images were lost."""
    memory = SimpleNamespace(f_blocks=mebibytes * 256, f_frsize=4096)
    monkeypatch.setattr('os.statvfs', lambda _: memory)
    monkeypatch.setattr('paif_ros.fastdds.SHARED_MEMORY', ROOT)
    (chosen,) = set(profile_environment(ROOT / 'config' / 'fastdds_shm.xml', {}).values())
    assert Path(chosen).stem == name
    tree = ElementTree.parse(chosen)
    segment = next(item for item in tree.iter() if item.tag.endswith('segment_size'))
    assert 4 * int(segment.text or 0) <= mebibytes * 2**20, 'node, cameras, rviz, recorder'


def test_xml_is_well_formed() -> None:
    for path in ('package.xml', 'config/fastdds_shm.xml', 'config/fastdds_shm_small.xml'):
        ElementTree.parse(ROOT / path)
