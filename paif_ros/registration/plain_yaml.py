"""YAML as plain data, whatever somebody wrote into the file."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

from paif_ros.errors import CalibrationError

_MAX_NESTING = 8  # of lists and keys in a file


def parse_yaml(text: str, path: str | Path) -> Any:
    """Read YAML as data only, without aliases.

    Args:
        text: of the file.
        path: to name in an error.

    Raises:
        CalibrationError: it is no YAML, or has aliases.
    """
    import yaml

    try:
        # An alias in an alias makes gigabytes of a few lines, and thousands of brackets keep the
        # parser busy for minutes; nobody needs either here.
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise CalibrationError('file', f'alias *{short(event.anchor)}', 'no YAML aliases')
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_NESTING:
                raise CalibrationError('file', str(path), f'up to {_MAX_NESTING} levels')
        return yaml.safe_load(text)
    # A wrong date is a ValueError or OverflowError, a list as a key a TypeError.
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as err:
        reason = ' '.join(str(err).split())[:200]
        raise CalibrationError('file', str(path), f'plain YAML ({reason})') from err


def short(value: object) -> str:
    """Return a value as text for a message, which must not grow with the file."""
    return value if isinstance(value, str) and len(value) < 80 else reprlib.repr(value)
