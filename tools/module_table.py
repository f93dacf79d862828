"""List every module of paif_ros on the API page: `python -m tools.module_table`."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

from models.evaluation.pages import main_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'paif_ros'
PAGE = ROOT / 'docs' / 'api.md'
MARK = 'modules'
EXAMPLES = """
examples:
  write the table:
    python -m tools.module_table
  see whether it is current:
    python -m tools.module_table --check
"""


def modules() -> dict[str, str]:
    """Return the full name of every public module with the first paragraph of its docstring.

    Raises:
        ValueError: a module has no docstring.
    """
    found: dict[str, str] = {}
    for path in sorted(PACKAGE.glob('**/*.py')):
        parts = path.relative_to(ROOT).with_suffix('').parts
        name = '.'.join(part for part in parts if part != '__init__')
        if any(part.startswith('_') and part != '__init__' for part in parts):
            continue
        text = ast.get_docstring(ast.parse(path.read_text('utf-8')))
        if not text:
            msg = f'{path}: no docstring'
            raise ValueError(msg)
        found[name] = ' '.join(text.split('\n\n')[0].split())
    return found


def table() -> str:
    """Return the table in Markdown.

    Raises:
        ValueError: a module has no docstring.
    """
    lines = ['| Module | What |', '|---|---|']
    lines += [f'| `{name}` | {text.replace("|", chr(92) + "|")} |' for name, text in
              sorted(modules().items())]  # fmt: skip
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(
        prog='python -m tools.module_table',
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main_of(parser, argv, PAGE, MARK, table)
    print(f'wrote {PAGE}')


if __name__ == '__main__':
    main()
