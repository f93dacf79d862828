"""What the tests of the documentation share: pages, their code, and every parser of ours."""

from __future__ import annotations

import argparse
import ast
import re
import runpy
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    *sorted((ROOT / 'docs').glob('*.md')),
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'SECURITY.md')),
    ROOT / 'QUALITY_DECLARATION.md',
)
OURS = ('paif_ros', 'models', 'export', 'benchmarks', 'scenes', 'demo')
GAP = '…'
END = re.compile(r'\s*(?:&&|\|\||[|;>#)]|&$|&\s)')
TORCH = ('models', 'export', 'benchmarks')  # folders whose commands need torch


@dataclass(frozen=True)
class Block:
    """A block of code, or a span of it in a line (language '')."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f'{self.page}:{self.line}'


@dataclass(frozen=True)
class Call:
    """A command of ours as a page writes it: how it is called, and what follows."""

    place: str
    command: str
    rest: str

    @property
    def options(self) -> list[str]:
        words = self.rest.split(' --ros-args')[0].split()
        flags = [word.split('=')[0].strip('"\'`[]') for word in words if word.startswith('-')]
        return [flag for flag in flags if re.fullmatch(r'--?[a-z][a-z-]*', flag)]


def blocks(page: Path) -> Iterator[Block]:
    """Every fenced block of a page."""
    language, start, lines = None, 0, []
    for number, line in enumerate(page.read_text('utf-8').splitlines(), 1):
        fence = re.match(r'\s*```(\w*)', line)
        if fence and language is None:
            language, start, lines = fence[1], number + 1, []
        elif fence:
            yield Block(page.name, start, language or 'text', '\n'.join(lines))
            language = None
        elif language is not None:
            lines.append(line)
    assert language is None, f'{page}: a block has no end'


def spans(page: Path) -> Iterator[Block]:
    """Every span of code within a line."""
    text = re.sub(r'```.*?```', lambda m: '\n' * m[0].count('\n'), page.read_text(), flags=re.S)
    for match in re.finditer(r'`([^`]+)`', text):
        line = text.count('\n', 0, match.start()) + 1
        yield Block(page.name, line, '', ' '.join(match[1].split()))


def calls(block: Block) -> Iterator[Call]:
    """Every call of a command of ours."""
    text = re.sub(r'\\\n\s*', ' ', block.text)
    names = '|'.join(OURS)
    patterns = (
        rf'-m ((?:{names})(?:\.\w+)*)',
        rf'python3? ((?:{names})/\w+\.py)',
        r'(?:^|[\s"(`])(paif-\w+)(?=\s|$)',
        r'ros2 run paif_ros (\w+)',
    )
    for number, line in enumerate(text.splitlines()):
        for pattern in patterns:
            for match in re.finditer(pattern, line):
                rest = line[match.end() :]
                end = END.search(rest)
                place = f'{block.page}:{block.line + number}'
                yield Call(place, match[1], rest[: end.start()] if end else rest)


@lru_cache
def executables() -> dict[str, str]:
    """The modules of the installed commands, from setup.py."""
    text = (ROOT / 'setup.py').read_text()
    found = re.findall(r"f'([\w-]+) = \{NAME\}\.([\w.]+):main'", text)
    return {name: f'paif_ros.{module}' for name, module in found}


class Caught(BaseException):
    """No Exception, so that no command can take it for an error of its own."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


@contextmanager
def _caught() -> Iterator[None]:
    """Make every parser stop the command that has built it."""

    def stop(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise Caught(parser)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, 'parse_args', stop)
        patch.setattr(argparse.ArgumentParser, 'parse_known_args', stop)
        patch.setattr(sys, 'argv', ['command'])
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


@lru_cache
def parser_of(command: str) -> argparse.ArgumentParser | None:
    """The parser that a command really builds; None for one that takes no arguments.

    Args:
        command: module, path of a script, or name of an installed command.
    """
    target = executables().get(command, command)
    if target.startswith('paif-') or re.split('[./]', target)[0] not in OURS:
        raise LookupError(command)
    try:
        with _caught(), warnings.catch_warnings():
            # Of runpy, where another test has imported the module before.
            warnings.simplefilter('ignore', RuntimeWarning)
            if target.endswith('.py'):
                runpy.run_path(str(ROOT / target), run_name='__main__')
            else:
                runpy.run_module(target, run_name='__main__')
    except Caught as caught:
        return caught.parser
    return None


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Every option of a parser and its commands."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                found |= {name, *options_of(child)}
    return found


@lru_cache
def launch_arguments(name: str) -> set[str]:
    """The arguments that a launch file declares."""
    tree = ast.parse((ROOT / 'launch' / name).read_text())
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, 'id', '') == 'DeclareLaunchArgument'
        and isinstance(node.args[0], ast.Constant)
    }


def rendered(node: ast.expr) -> str | None:
    """A string literal as it is, an f-string with a gap for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return ''.join(
            part.value if isinstance(part, ast.Constant) else GAP for part in node.values
        )
    return None


@lru_cache
def texts() -> str:
    """Every text of the runtime's code, f-strings with a gap for each value, one a line."""
    found = []
    for path in sorted((ROOT / 'paif_ros').glob('**/*.py')):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if id(node) in docstrings:  # nobody gets to see those
                continue
            if isinstance(node, ast.expr) and (text := rendered(node)) is not None:
                found.append(text.replace('\n', ' '))
    return '\n'.join(found)
