"""Class labels as they stand in configurations: JSON objects of id, name and color."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from paif_ros.contract import ClassLabel


def to_objects(classes: Iterable[ClassLabel]) -> list[dict[str, Any]]:
    """Return labels as objects that `json.dumps` takes."""
    return [{**asdict(label), 'color': list(label.color)} for label in classes]


def from_objects(objects: Iterable[Mapping[str, Any]]) -> tuple[ClassLabel, ...]:
    """Read labels from objects of a configuration.

    Raises:
        KeyError: a label lacks an entry.
    """
    return tuple(ClassLabel(one['id'], one['name'], tuple(one['color'])) for one in objects)
