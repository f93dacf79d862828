"""Finding TensorRT, the stand-ins that later tests rely on, and the looks before a build."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tensorrt_standin
from build_rig import ALL, DESKTOP, ORIN
from tensorrt_standin import RTX, VERSIONS, make, names_of

from paif_ros.errors import EngineError
from paif_ros.tensorrt import library, preflight
from paif_ros.tensorrt.builder import BuildOptions

ROOT = Path(__file__).resolve().parents[1]


def installed(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setitem(sys.modules, library.kind_of(module), module)


def raising(monkeypatch: pytest.MonkeyPatch, err: Exception) -> None:
    def fail(_name: str) -> ModuleType:
        raise err

    monkeypatch.setattr(importlib, 'import_module', fail)


# ---- find


@pytest.mark.parametrize('version', ALL)
def test_finds_what_is_installed(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    module = make(version)
    installed(monkeypatch, module)
    found = library.find(library.kind_of(module))
    assert found is module
    assert library.version_text(found) == version
    assert library.version(found)[0] == int(version.split('.', maxsplit=1)[0])
    assert library.remarks(found) == []


@pytest.mark.parametrize('text', ['8.5.2.2', '8.6.2', '9.3.0', '10.0.1', '10.2.0'])
def test_too_old_names_the_way_out(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    module = make(VERSIONS[0])
    module.__version__ = text
    installed(monkeypatch, module)
    with pytest.raises(EngineError) as caught:
        library.find('tensorrt')
    assert text in str(caught.value)
    assert 'JetPack 6.1' in str(caught.value)
    assert 'engine.backend to onnxruntime' in str(caught.value)


def test_newer_than_known_is_remarked(monkeypatch: pytest.MonkeyPatch) -> None:
    module = make(VERSIONS[-1])
    module.__version__ = '12.0.1'
    installed(monkeypatch, module)
    remark = library.remarks(library.find('tensorrt'))
    assert len(remark) == 1
    assert '12.0.1 is newer than 11.4' in remark[0]
    module.__version__ = '11.4.9'
    assert library.remarks(module) == []


NOT_FOUND = ModuleNotFoundError("No module named 'tensorrt'", name='tensorrt')


@pytest.mark.parametrize(
    ('err', 'words'),
    [
        (NOT_FOUND, ['python3-libnvinfer', 'pip install tensorrt']),
        (
            ImportError('libnvdla_compiler.so: cannot open shared object file: No such file'),
            ['nvidia-l4t-dla-compiler', 'JetPack 7.2', '--runtime nvidia'],
        ),
        (
            ImportError('libnvinfer.so.10: cannot open shared object file'),
            ['nvidia-tensorrt', 'libnvinfer.so.10'],
        ),
        (OSError('libcudart.so.13: cannot open'), ['libcudart.so.13']),
        (
            ImportError('numpy.core.multiarray failed to import'),
            ['another Python or NumPy', 'numpy.core'],
        ),
        (AttributeError("module 'numpy' has no attribute 'bool'"), ['another Python or NumPy']),
        (RuntimeError(''), ['RuntimeError']),
    ],
)
def test_import_errors_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, err: Exception, words: list[str]
) -> None:
    raising(monkeypatch, err)
    with pytest.raises(EngineError) as caught:
        library.find('tensorrt')
    for word in [*words, 'engine.backend to onnxruntime']:
        assert word in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_virtual_environment_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, NOT_FOUND)
    for prefix, told in (('/venv', True), (sys.base_prefix, False)):
        monkeypatch.setattr(sys, 'prefix', prefix)
        with pytest.raises(EngineError) as caught:
            library.find('tensorrt')
        assert ('--system-site-packages' in str(caught.value)) == told


def test_rtx_is_installed_by_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, ModuleNotFoundError("No module named 'tensorrt_rtx'"))
    with pytest.raises(EngineError, match='pip install tensorrt-rtx'):
        library.find('tensorrt_rtx')


def test_a_folder_named_tensorrt_is_not_tensorrt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / 'tensorrt').mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, 'tensorrt', raising=False)
    with pytest.raises(EngineError, match='what shadows it'):
        library.find('tensorrt')
    sys.modules.pop('tensorrt', None)


def test_unknown_kinds() -> None:
    with pytest.raises(EngineError, match='tensorrt, tensorrt_rtx'):
        library.find('tensorflow')


def test_importing_the_package_imports_no_library() -> None:
    code = (
        'import sys, paif_ros.tensorrt.prepare, paif_ros.tensorrt.preflight;'
        "heavy = {'tensorrt', 'tensorrt_rtx', 'cuda', 'torch', 'onnx', 'onnxruntime', 'rclpy'};"
        'print(sorted(heavy & set(sys.modules)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '[]'


# ---- the stand-ins


@pytest.mark.parametrize('version', ALL)
def test_a_stand_in_has_the_names_of_its_version_and_no_other(version: str) -> None:
    module = make(version)
    names = names_of(version)
    for name, members in names.items():
        owner = getattr(module, name)
        for member in members:
            assert hasattr(owner, member) or member == 'itemsize', f'{name}.{member}'
    for name in ('NoSuchClass', 'create_infer_builder'):
        with pytest.raises(AttributeError, match=name):
            getattr(module, name)
    everywhere = {name for other in ALL for name in names_of(other)}
    for name in everywhere - set(names):
        assert not hasattr(module, name)


@pytest.mark.parametrize('version', ALL)
def test_what_tensorrt_11_removed(version: str) -> None:
    module = make(version)
    old = version.startswith('10.')
    builder = module.Builder(module.Logger())
    config = builder.create_builder_config()
    assert hasattr(module.BuilderFlag, 'FP16') == old
    assert hasattr(module.NetworkDefinitionCreationFlag, 'EXPLICIT_BATCH') == old
    assert hasattr(builder, 'platform_has_fast_fp16') == old
    if not old:
        with pytest.raises(AttributeError, match='int8_calibrator'):
            config.int8_calibrator = None
    with pytest.raises(AttributeError, match='max_workspace_size'):  # gone since TensorRT 10
        config.max_workspace_size = 1 << 30
    assert not hasattr(module.IExecutionContext, 'execute_async_v2')


def test_the_stand_in_of_rtx_has_the_names_that_are_installed() -> None:
    real = pytest.importorskip('tensorrt_rtx')
    if real.__version__ != RTX:
        pytest.skip(f'{real.__version__} is installed')
    for name, members in names_of(RTX).items():
        assert set(members) <= set(dir(getattr(real, name))), name


def test_a_parser_refuses_a_network_that_was_used(tiny: Path) -> None:
    """As NVIDIA's does, seen with TensorRT-RTX 1.7; so that a test on the stand-in finds it."""
    libraries: list[Any] = [make(version) for version in ALL]
    real = importlib.util.find_spec('tensorrt_rtx')
    if real is not None:
        libraries.append(importlib.import_module('tensorrt_rtx'))
    for module in libraries:
        logger = module.Logger()
        builder = module.Builder(logger)
        network = builder.create_network(
            1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        )
        parser = module.OnnxParser(network, logger)
        assert parser.supports_model_v2(tiny.read_bytes())
        assert not parser.parse(tiny.read_bytes())


COMMON = sorted(set.intersection(*(set(names_of(version)) for version in ALL)))
RETURNS = {
    ('Builder', 'create_network'): 'INetworkDefinition',
    ('Builder', 'create_builder_config'): 'IBuilderConfig',
    ('Builder', 'create_optimization_profile'): 'IOptimizationProfile',
    ('Runtime', 'deserialize_cuda_engine'): 'ICudaEngine',
    ('ICudaEngine', 'create_execution_context'): 'IExecutionContext',
    ('ICudaEngine', 'create_engine_inspector'): 'EngineInspector',
    ('INetworkDefinition', 'get_input'): 'ITensor',
    ('INetworkDefinition', 'get_output'): 'ITensor',
    ('INetworkDefinition', 'get_layer'): 'ILayer',
    ('OnnxParser', 'get_error'): 'ParserError',
    ('IBuilderConfig', 'create_timing_cache'): 'ITimingCache',
}


def write_stubs(folder: Path, versions: tuple[str, ...]) -> None:
    """Write type stubs of what all these versions have."""
    lines = ['from typing import Any', '']
    for name in sorted(set.intersection(*(set(names_of(version)) for version in versions))):
        members = set.intersection(*(set(names_of(version)[name]) for version in versions))
        if name[0].islower():
            lines.append(f'{name}: Any')
            continue
        lines.append(f'class {name}:')
        lines.append('    def __init__(self, *args: Any) -> None: ...')
        lines.append('    def __int__(self) -> int: ...')
        for member in sorted(members):
            made = RETURNS.get((name, member))
            text = f'def {member}(self, *args: Any) -> {made}: ...' if made else f'{member}: Any'
            lines.append(f'    {text}')
    (folder / 'tensorrt').mkdir(parents=True)
    (folder / 'tensorrt' / '__init__.pyi').write_text('\n'.join(lines) + '\n')


def run_mypy(stubs: Path, *files: Path, cache: Path) -> str:
    done = subprocess.run(
        [sys.executable, '-m', 'mypy', '--cache-dir', cache, *files],
        cwd=ROOT,
        env={'MYPYPATH': str(stubs), 'PATH': '/usr/bin:/bin'},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_mypy_knows_every_name_in_all_versions(tmp_path: Path) -> None:
    """Also in branches that no other test runs into.

    `tensorrt-stubs` of PyPI (10.13.0.35.1) would be one version only, has syntax errors that mypy
    does not forgive, and installs a folder that `import tensorrt` takes for the library.
    """
    pytest.importorskip('mypy')
    write_stubs(tmp_path / 'stubs', ALL)
    wrong = tmp_path / 'wrong.py'
    wrong.write_text(
        'import tensorrt as trt\n'
        'print(trt.BuilderFlag.FP16)\n'
        'print(trt.Builder().create_builder_config().int8_calibrator)\n'
        'print(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)\n'
        'print(trt.Builder().create_network().num_layers)\n'
    )
    text = run_mypy(tmp_path / 'stubs', wrong, cache=tmp_path / 'cache')
    assert text.count('attr-defined') == 3, text  # it does look
    ours = sorted((ROOT / 'paif_ros' / 'tensorrt').glob('*.py'))
    text = run_mypy(tmp_path / 'stubs', *ours, cache=tmp_path / 'cache')
    assert 'Success: no issues found' in text, text


def test_there_are_names_to_compare() -> None:
    assert len(COMMON) > 100
    assert tensorrt_standin.FOLDER.is_dir()
    assert len(ALL) == 7


# ---- preflight


def check(
    tmp_path: Path, version: str = '11.4.0.106', device: Any = ORIN, **more: Any
) -> list[str]:
    options = BuildOptions(**more)
    return preflight.check(make(version), device, 10 << 20, options, tmp_path / 'a' / 'cache')


@pytest.mark.parametrize(
    ('version', 'issue'),
    [('10.3.0', '#4723'), ('10.7.0', '#4333'), ('10.13.3.9', None), ('10.16.1.11', None)],
)
def test_known_bad_versions_warn(tmp_path: Path, version: str, issue: str | None) -> None:
    warnings = check(tmp_path, version)
    assert [issue in warning for warning in warnings] == ([True] if issue else [])


def test_jetsons_and_tensorrt_11(tmp_path: Path) -> None:
    assert ['does not support Jetsons' in warning for warning in check(tmp_path)] == [True]
    assert check(tmp_path, device=replace(DESKTOP, driver_version='13.0')) == []


def test_gpus_that_are_too_old(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r'7\.2.*onnxruntime'):
        check(tmp_path, device=replace(ORIN, compute_capability='7.2'))


def test_rtx_does_not_build_for_jetsons(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r'8\.7.*engine\.backend to tensorrt'):
        check(tmp_path, RTX)
    assert check(tmp_path, RTX, DESKTOP) == []


def test_a_driver_older_than_the_runtime(tmp_path: Path) -> None:
    old = replace(DESKTOP, driver_version='12.4', runtime_version='13.0')
    with pytest.raises(EngineError, match=r'CUDA 12\.4.*13\.0.*update the driver'):
        check(tmp_path, device=old)
    assert check(tmp_path, device=replace(old, driver_version='13.2')) == []


def test_little_memory_is_said_with_a_cure(tmp_path: Path) -> None:
    small = replace(ORIN, free_memory=500 << 20)
    warnings = check(tmp_path, '10.16.1.11', small)
    assert len(warnings) == 1
    assert '0.5 GiB of 8.0 GiB free' in warnings[0]
    assert 'swap' in warnings[0]
    assert 'estimate' in warnings[0]
    assert check(tmp_path, '10.16.1.11', ORIN, workspace_mib=1024) == []
    warnings = check(tmp_path, '10.16.1.11', ORIN, workspace_mib=8192)
    assert len(warnings) == 1


def test_little_room_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 40 << 20

    monkeypatch.setattr(preflight.shutil, 'disk_usage', lambda _path: Usage)
    warnings = check(tmp_path, '10.16.1.11')
    assert ['40 MiB free' in warning for warning in warnings] == [True]
    assert 'engine.cache_dir' in warnings[0]
