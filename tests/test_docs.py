"""The code in the documentation: commands, options, parameters and names that are there."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml
from documents import (
    GAP,
    PAGES,
    ROOT,
    TORCH,
    Block,
    Call,
    blocks,
    calls,
    executables,
    launch_arguments,
    options_of,
    parser_of,
    spans,
    texts,
)

from paif_ros.parameters import specs

BLOCKS = [block for page in PAGES for block in blocks(page)]
SPANS = [span for page in PAGES for span in spans(page)]
CALLS = [call for block in (*BLOCKS, *SPANS) for call in calls(block)]
COMMANDS = sorted({call.command for call in CALLS})
GROUPS = sorted({name.split('.')[0] for name in specs() if '.' in name})
TROUBLE = (ROOT / 'docs' / 'troubleshooting.md').read_text()


def test_there_is_something_to_check() -> None:
    assert len(BLOCKS) > 40
    assert len(CALLS) > 100
    assert {'paif_ros.replay', 'paif-replay', 'models.train', 'calibrate'} <= set(COMMANDS)


@pytest.mark.parametrize('command', COMMANDS)
def test_commands_take_the_options_that_pages_give_them(command: str) -> None:
    module = executables().get(command, command)
    if module.startswith(TORCH):
        pytest.importorskip('torch', reason=f'{command} needs torch')
    if module in ('paif_ros.main', 'paif_ros.node'):
        pytest.importorskip('rclpy', reason=f'{command} needs ROS 2')
    parser = parser_of(command)
    known = {'-h', '--help'} | (options_of(parser) if parser else set())
    for call in CALLS:
        if call.command == command:
            wrong = [option for option in call.options if option not in known]
            assert not wrong, f'{call.place}: {command} knows no {wrong}'


def test_a_wrong_option_would_be_found() -> None:
    block = Block('x.md', 7, 'bash', 'a && python -m paif_ros.parameters --colour=red | less -R')
    (call,) = calls(block)
    assert call == Call('x.md:7', 'paif_ros.parameters', ' --colour=red')
    parser = parser_of(call.command)
    assert parser is not None
    assert [option for option in call.options if option not in options_of(parser)] == ['--colour']
    with pytest.raises(LookupError):
        parser_of('paif-dance')


def shell() -> list[Block]:
    return [block for block in (*BLOCKS, *SPANS) if block.language in ('bash', 'text', '')]


def test_make_targets_are_there() -> None:
    targets = set(re.findall(r'^([a-z]+):', (ROOT / 'Makefile').read_text(), re.M))
    used = {
        (block.place, name)
        for block in shell()
        for name in re.findall(r'(?:^|&& )make ([a-z]+)', block.text, re.M)
    }
    assert {'demo', 'site', 'test'} <= {name for _, name in used}
    assert [both for both in sorted(used) if both[1] not in targets] == []


def test_launch_arguments_are_there() -> None:
    found = 0
    for block in shell():
        text = re.sub(r'\\\n\s*', ' ', block.text)
        for name, rest in re.findall(r'ros2 launch paif_ros (\S+\.launch\.py)(.*)', text):
            used = set(re.findall(r'(\w+):=', rest))
            found += len(used)
            assert used <= launch_arguments(name), f'{block.place}: {used}'
    assert found > 8


def test_parameters_are_there() -> None:
    known = set(specs()) | {'use_sim_time', 'autostart'}
    used = []
    for block in (*BLOCKS, *SPANS):
        used += [(block.place, n) for n in re.findall(r'-p ([\w.]+):=', block.text)]
        found = re.findall(r'ros2 param \w+ /\S+ ([\w.]+)', block.text)
        used += [(block.place, name) for name in found]
    assert len(used) > 5
    assert [both for both in used if both[1] not in known] == []
    # In running text the keys of /diagnostics look the same; they are somewhere in the code.
    names = re.compile(rf'((?:{"|".join(GROUPS)})\.[a-z][a-z_]+)(?::.*)?')
    for span in SPANS:
        match = names.fullmatch(span.text)
        if match and match[1] not in known:
            ends = match[1].split('.', 1)[1]
            assert ends in texts(), f'{span.place}: no parameter, no diagnostics: {match[1]}'


@pytest.mark.parametrize('kind', ['python', 'yaml', 'json'])
def test_blocks_can_be_read(kind: str) -> None:
    for block in BLOCKS:
        if block.language == kind == 'python':
            compile(block.text, block.place, 'exec')
        elif block.language == kind == 'yaml':
            yaml.safe_load(block.text)
        elif block.language == kind == 'json':
            json.loads(block.text)


@pytest.mark.skipif(
    importlib.util.find_spec('onnxruntime') is None, reason='onnxruntime is not installed'
)
def test_the_code_of_the_api_page_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (block,) = [b for b in BLOCKS if b.page == 'api.md' and b.language == 'python']
    exec(compile(block.text, block.place, 'exec'), {})
    assert capsys.readouterr().out == '(480, 640, 3) (480, 640)\n'


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_relative_links_lead_to_files(page: Path) -> None:
    for link in re.findall(r'\]\(([^)#\s]+)', page.read_text('utf-8')):
        if '://' not in link:
            assert (page.parent / link).exists(), link


def quotes() -> list[str]:
    """What the first columns of the troubleshooting tables quote from the code."""
    found = []
    for line in TROUBLE.splitlines():
        if line.startswith('| ') and not line.startswith('| It says'):
            found += re.findall(r'`([^`]+)`', line.split(' | ')[0])
    return found


@pytest.mark.parametrize('quote', quotes())
def test_troubleshooting_quotes_the_code(quote: str) -> None:
    pattern = re.escape(quote).replace(re.escape(GAP), '[^\n]*')
    assert re.search(pattern, texts()), f'no code says: {quote}'


def test_troubleshooting_knows_every_error() -> None:
    from paif_ros import errors

    classes = [name for name, kind in vars(errors).items() if isinstance(kind, type)]
    assert len(quotes()) > 30
    assert not re.search('the camera is too cold', texts())
    assert [n for n in classes if n != 'PaifError' and f'`{n}`' not in TROUBLE] == []


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_the_command_of_a_picture_stands_beside_it(page: Path) -> None:
    """Within a few lines of each picture of docs/ stands what made it."""
    makers = ('demo.figure', 'benchmarks.registration', 'paif_ros panel', 'tools.how_drawing')
    lines = page.read_text('utf-8').splitlines()
    for number, line in enumerate(lines):
        if not line.startswith('!['):
            continue
        near = ' '.join(lines[max(0, number - 3) : number + 6])
        assert any(maker in near for maker in makers), f'{page.name}:{number + 1}'
