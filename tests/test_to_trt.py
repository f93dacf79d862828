"""export/to_trt.py from its command line: exit codes, reports, and what it says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorrt_standin
import tiny_model
from build_rig import make_model
from tensorrt_rig import Rig

from export import to_trt
from paif_ros.tensorrt.cache import Cache

ROOT = Path(__file__).resolve().parents[1]
JETPACK = tensorrt_standin.VERSIONS[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_model(tmp_path)
    return tmp_path


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch, JETPACK)


def run(folder: Path, *more: str, model: str = 'tiny.onnx') -> tuple[int, dict]:
    report = folder / 'report.json'
    report.unlink(missing_ok=True)
    where = ['--cache-dir', str(folder / 'cache'), '--json', str(report)]
    code = to_trt.main([str(folder / model), *where, *more])
    return code, json.loads(report.read_text())


@pytest.mark.parametrize('version', [*tensorrt_standin.VERSIONS, tensorrt_standin.RTX])
def test_the_whole_way(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    version: str,
) -> None:
    rig = Rig(monkeypatch, version)
    code, report = run(folder, '--library', rig.kind)
    assert (code, report['done'], report['cached']) == (0, True, False)
    assert report['library_version'] == version
    assert report['fingerprint']['device_name'] == rig.gpu.name
    assert report['attempts'][0]['parity']['passed']
    assert Path(report['installed']).is_file()
    text = capsys.readouterr().out
    assert 'pairs agree with FP32' in text
    assert 'building: ' in text
    assert rig.gpu.name in text
    assert ('#4723' in text) == (version == JETPACK)
    code, report = run(folder, '--library', rig.kind)
    assert (code, report['cached']) == (0, True)
    assert rig.builds == 1
    assert not rig.gpu.live  # everything that was taken of the GPU is given back


def test_the_node_finds_what_the_script_kept(rig: Rig, folder: Path) -> None:
    from paif_ros.engines.base import TensorRtOptions
    from paif_ros.engines.tensorrt import TensorRtEngine

    assert run(folder)[0] == 0
    options = TensorRtOptions(on_mismatch='refuse', cache_dir=str(folder / 'cache'))
    engine = TensorRtEngine(folder / 'tiny.onnx', 'tensorrt', options)
    assert 'kept in' in engine.load().reason
    engine.close()
    assert rig.builds == 1


def test_refused_by_parity(rig: Rig, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rig.standin.spoil = lambda outputs: outputs | {'mask': outputs['mask'] * 0}
    code, report = run(folder)
    assert (code, report['done']) == (1, False)
    assert 'no engine agrees with FP32' in report['error']
    assert report['attempts'][0]['parity']['passed'] is False
    assert report['error'] in capsys.readouterr().err
    assert list((folder / 'cache').glob('*.plan*')) == []


def test_no_gpu_says_so(rig: Rig, folder: Path) -> None:
    rig.gpu.count = 0
    code, report = run(folder)
    assert code == 1
    assert 'GPU' in report['error']


def test_mismatch_can_be_refused(rig: Rig, folder: Path) -> None:
    assert run(folder)[0] == 0
    code, report = run(folder, '--optimization-level', '4', '--on-mismatch', 'refuse')
    assert code == 1
    assert 'flags' in report['error']
    assert run(folder, '--optimization-level', '4')[0] == 0


def test_build_only_keeps_nothing(rig: Rig, folder: Path) -> None:
    out = folder / 'model.plan'
    code, report = run(folder, '--build-only', '--out', str(out))
    assert code == 0
    assert out.stat().st_size == report['plan_bytes']
    assert report['parity'] == 'not measured'
    assert report['installed'] is None
    assert not Cache(folder / 'cache').folder.exists()
    assert rig.gpu.calls == []  # nor does it look for a GPU


def test_options_reach_the_build(rig: Rig, folder: Path) -> None:
    tiny_model.write(folder / 'open.onnx', batch='N')
    code, report = run(
        folder, '--workspace', '256', '--optimization-level', '1', '--profile', '1,1,4',
        '--profile', '1,2,8', '--timing-cache', str(folder / 'times'), model='open.onnx',
    )  # fmt: skip
    assert code == 0, report
    assert report['fingerprint']['flags'] == [
        'optimization_level=1', 'workspace_mib=256', 'profile=1,1,4', 'profile=1,2,8',
    ]  # fmt: skip
    assert (folder / 'times').is_file()


@pytest.mark.parametrize(
    'arguments',
    [
        ['none.onnx'],
        ['tiny.parity.npz'],
        ['tiny.onnx', '--workspace', '-1'],
        ['tiny.onnx', '--workspace', 'much'],
        ['tiny.onnx', '--optimization-level', '6'],
        ['tiny.onnx', '--profile', '1,2'],
        ['tiny.onnx', '--profile', '2,1,1'],
        ['tiny.onnx', '--profile', '0,1,1'],
        ['tiny.onnx', '--library', 'cudnn'],
        ['tiny.onnx', '--on-mismatch', 'ignore'],
        ['tiny.onnx', '--size', '96x128'],
        ['tiny.onnx', '--exports', '.'],
        ['tiny.onnx', '--compute-capability', '8.9'],
        ['tiny.onnx', '--out', 'no/such/folder/file'],
        [],
    ],
)
def test_wrong_arguments(
    folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(folder / arguments[0]), *arguments[1:]] if arguments else []
    try:
        code = to_trt.main(arguments)
    except SystemExit as err:  # argparse's own way out
        code = int(str(err.code))
    assert code == 2
    assert capsys.readouterr().err


def test_weights_are_exported_in_every_form(
    rig: Rig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exports themselves are tested elsewhere, and take a minute."""
    pytest.importorskip('torch')
    from export import parity_pairs, to_onnx

    made: list[list[str]] = []

    def export(argv: list[str]) -> int:
        made.append(argv)
        form, out = argv[argv.index('--precision') + 1], Path(argv[argv.index('--out') + 1])
        make_model(out.parent, form, out.name)
        return 0

    monkeypatch.setattr(to_onnx, 'main', export)
    monkeypatch.setattr(parity_pairs, 'main', lambda argv: made.append(argv) or 0)
    (folder / 'net.safetensors').touch()
    (folder / 'exports').mkdir()
    more = ['--size', '48x64', '--exports', str(folder / 'exports')]
    code, report = run(folder, *more, model='net.safetensors')
    assert code == 0, report
    assert report['precision'] == 'mixed'
    outs = [Path(argv[argv.index('--out') + 1]).name for argv in made]
    assert outs == ['net_mixed.onnx', 'net_safe.onnx', 'net.onnx', 'net.parity.npz']
    assert all(argv[argv.index('--size') + 1] == '48x64' for argv in made)
    monkeypatch.setattr(to_onnx, 'main', lambda argv: 1)
    code, report = run(folder, *more, model='net.safetensors')
    assert code == 1
    assert 'export failed' in report['error']


NO_TORCH = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'onnx', 'onnxruntime', 'cv2', 'tqdm', 'rclpy'):
            raise ImportError(name + ' is not on this robot')
sys.meta_path.insert(0, Block())
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def start_without_torch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, '-c', NO_TORCH, str(ROOT / 'export' / 'to_trt.py'), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_robot_without_torch(folder: Path) -> None:
    """With NVIDIA's real TensorRT-RTX, in a process where torch, onnx and OpenCV are missing."""
    pytest.importorskip('tensorrt_rtx')
    library = ['--library', 'tensorrt_rtx']
    done = start_without_torch(folder, 'tiny.onnx', *library, '--build-only', '--json', 'r.json')
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / 'r.json').read_text())['plan_bytes'] > 10_000
    (folder / 'net.safetensors').touch()
    done = start_without_torch(folder, 'net.safetensors', *library)
    assert done.returncode == 1
    assert 'need torch' in done.stderr
    assert 'Traceback' not in done.stderr


def test_an_interrupt_ends_a_real_build(folder: Path) -> None:
    """NVIDIA's bindings swallow exceptions of callbacks; ours come out of the build again."""
    pytest.importorskip('tensorrt_rtx')
    model = ROOT / 'models' / 'weights' / 'paif_small.onnx'
    command = [sys.executable, str(ROOT / 'export' / 'to_trt.py'), str(model), '--build-only']
    command += ['--library', 'tensorrt_rtx', '--out', str(folder / 'model.plan')]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(line.startswith('building: ') for line in process.stdout)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 1
    assert 'interrupted; nothing was kept' in text
    assert 'Traceback' not in text
    assert time.monotonic() - began < 20  # two seconds on a quiet machine
    assert not (folder / 'model.plan').exists()


def test_on_a_real_gpu(tmp_path: Path) -> None:
    """The only test here that measures anything; it needs a GPU and a TensorRT for it."""
    from paif_ros.errors import EngineError
    from paif_ros.tensorrt import library, preflight
    from paif_ros.tensorrt.builder import BuildOptions
    from paif_ros.tensorrt.cuda import Cuda

    reasons = []
    for kind in library.KINDS:
        try:
            module, device = library.find(kind), Cuda().device()
            preflight.check(module, device, 0, BuildOptions(), tmp_path)
        except EngineError as err:
            reasons.append(str(err))
            continue
        model = ROOT / 'models' / 'weights' / 'paif_small.onnx'
        report = tmp_path / 'report.json'
        arguments = ['--library', kind, '--cache-dir', str(tmp_path / kind), '--json', str(report)]
        assert to_trt.main([str(model), *arguments]) == 0
        assert json.loads(report.read_text())['attempts'][0]['parity']['passed']
        return
    pytest.skip(f'not measured: {"; ".join(reasons)}')
