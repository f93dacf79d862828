"""What every command shares: examples in --help, --version, shell completion, no colours."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import TORCH, executables, options_of, parser_of

import paif_ros
from paif_ros import command_line, completion

ROOT = Path(__file__).resolve().parents[1]


def module_of(path: Path) -> str:
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__main__')


MODULES = ('paif_ros.fastdds', 'paif_ros.parameters', 'paif_ros.completion')
COMMANDS = sorted({*executables(), *MODULES})
TOOLS = sorted(
    str(path.relative_to(ROOT)) if path.name.startswith('to_') else module_of(path)
    for folder in ('benchmarks', 'demo', 'export', 'models', 'scenes')
    for path in (ROOT / folder).glob('**/*.py')
    if 'argparse.ArgumentParser(' in path.read_text('utf-8')
)
GRAPH = ('benchmarks.dds_images', 'benchmarks.soak', 'demo.play', 'demo.record')  # start with ROS
SHTAB = importlib.util.find_spec('shtab') is not None
needs_shtab = pytest.mark.skipif(not SHTAB, reason='shtab is not installed')


def run(*command: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **extra},
    )


@pytest.mark.parametrize('command', COMMANDS)
def test_help_has_examples_and_there_is_a_version(command: str) -> None:
    if executables().get(command) == 'paif_ros.main':
        pytest.importorskip('rclpy', reason='the node needs ROS 2')
    parser = parser_of(command)
    assert parser is not None
    text = parser.format_help()
    assert 'examples:' in text
    assert 'exit codes' in text.lower() or command == 'paif_ros.parameters'
    assert {'--help', '--version'} <= options_of(parser)
    name = re.split('[.-]', command)[-1]
    assert name in text.split('examples:')[1]


@pytest.mark.parametrize('command', TOOLS)
def test_every_other_command_of_the_checkout_has_them_too(command: str) -> None:
    """Their examples are in the first lines of help, as one calls them from the checkout."""
    if command.startswith(TORCH):
        pytest.importorskip('torch', reason='training, export and benchmarks need torch')
    if command in GRAPH:
        pytest.importorskip('rclpy', reason=f'{command} needs ROS 2')
    parser = parser_of(command)
    assert parser is not None
    assert {'--help', '--version'} <= options_of(parser)
    called = command if command.endswith('.py') else f'-m {command}'
    assert re.search(rf'^ *\S*python {re.escape(called)}\b', parser.format_help(), re.M)


def test_version_of_trainers_names_torch(capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip('torch', reason='training and export need torch')
    parser = parser_of('export/to_trt.py')
    assert parser is not None
    with pytest.raises(SystemExit) as stopped:
        argparse.ArgumentParser.parse_args(parser, ['--version'])
    assert stopped.value.code == 0
    found = dict(line.split(' ', 1) for line in capsys.readouterr().out.splitlines())
    assert found['torch'] == torch.__version__
    assert {'paif_ros', 'engines', 'onnx'} <= set(found)


def test_version_names_package_engines_and_libraries() -> None:
    result = run(sys.executable, '-m', 'paif_ros.parameters', '--version')
    assert result.returncode == 0, result.stderr
    found = dict(line.split(' ', 1) for line in result.stdout.splitlines())
    assert found['paif_ros'] == paif_ros.__version__
    assert {'python', 'machine', 'numpy', 'engines'} <= set(found)
    if importlib.util.find_spec('onnxruntime'):
        assert 'onnxruntime CPUExecutionProvider' in found['engines']
    assert '\x1b' not in result.stdout


def test_versions_without_any_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('onnxruntime', 'openvino', 'tensorrt', 'tensorrt_rtx'):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv('ROS_DISTRO', 'noetic')
    found = command_line.versions()
    assert found['engines'] == 'none'
    assert found['ROS_DISTRO'] == 'noetic'


@needs_shtab
def test_bash_completes_commands_and_their_options() -> None:
    script = completion.script('bash')
    ask = (
        'COMP_WORDS=(paif-view --po); COMP_CWORD=1; COMP_LINE="paif-view --po"\n'
        '_complete=$(complete -p paif-view | sed -E "s/.*-F ([^ ]+) .*/\\1/")\n'
        '$_complete paif-view --po paif-view; printf "%s\\n" "${COMPREPLY[@]}"\n'
        'complete -p | sed -E "s/.* //"\n'
    )
    result = run('bash', '--norc', '-c', f'{script}\n{ask}')
    words = result.stdout.split()
    assert '--port' in words, result.stderr
    assert '--host' not in words
    assert set(completion.COMMANDS) <= set(words)


@needs_shtab
def test_every_command_on_the_path_is_completed() -> None:
    installed = {name for name in executables() if name.startswith('paif-')}
    assert installed <= set(completion.COMMANDS)
    for command, parser in completion.parsers().items():
        own = parser_of(command)
        assert own is not None
        assert options_of(parser) == options_of(own), command


def test_without_shtab_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, 'shtab', None)
    with pytest.raises(SystemExit) as caught:
        completion.main(['bash'])
    out, err = capsys.readouterr()
    assert caught.value.code == completion.FAILED
    assert out == ''  # a shell evaluates that
    assert 'pip install shtab' in err


def test_nothing_is_coloured_in_a_pipe() -> None:
    """The one command of ours that writes escapes must ask whether anybody sees them."""
    escapes = [
        path
        for path in (ROOT / 'paif_ros').glob('**/*.py')
        if re.search(r'\\(?:x1b|033|e)\[', path.read_text())
    ]
    assert [path for path in escapes if 'isatty' not in path.read_text()] == []
