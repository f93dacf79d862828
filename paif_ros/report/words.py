"""Numbers in words for people."""

from __future__ import annotations

import math
from datetime import datetime, timezone


def amount(value: float, unit: str) -> str:
    """Return three digits and a unit: '12.3 ms'; a dash where nothing is known."""
    if not math.isfinite(value):
        return '-'
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f'{value:.{digits}f} {unit}'.strip()


def clock(seconds: float) -> str:
    """Return '12.3 s', '4 min 05 s' or '2 h 03 min'."""
    if seconds < 60:
        return f'{seconds:.1f} s'
    if seconds < 3600:
        return f'{int(seconds // 60)} min {int(seconds % 60):02d} s'
    return f'{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min'


def size(count: int) -> str:
    """Return '3.4 MB'."""
    value = float(count)
    for unit in ('bytes', 'kB', 'MB'):
        if value < 1000:
            return f'{value:.0f} {unit}' if unit == 'bytes' else f'{value:.1f} {unit}'
        value /= 1000
    return f'{value:.1f} GB'


def plain(value: object) -> str:
    """Return a value of JSON as people write it: 'yes', 'fused, mask', '-' for nothing."""
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    if isinstance(value, (list, tuple)):
        return ', '.join(plain(part) for part in value) or '-'
    return '-' if value is None or value == '' else str(value)


def utc(text: str) -> str:
    """Return an ISO 8601 time as '2026-11-25 00:31 UTC'; other texts as they are."""
    try:
        at = datetime.fromisoformat(text.replace('Z', '+00:00'))
    except ValueError:
        return text
    if at.tzinfo is not None:
        at = at.astimezone(timezone.utc)
    return at.strftime('%Y-%m-%d %H:%M UTC')
