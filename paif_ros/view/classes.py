"""The classes of a running node's mask, from its parameter `classes`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import monotonic
from typing import Any

from paif_ros.contract import ClassLabel

ASK_SECONDS = 5.0  # between two questions: a node that is configured anew can have other classes
PARAMETER = 'classes'


class ClassesClient:
    """Asks a fusion node for its classes, again and again, without waiting for the answer.

    Args:
        node: an rclpy node of ours.
        fusion: full name of the fusion node.
    """

    def __init__(self, node: Any, fusion: str) -> None:
        from rcl_interfaces.srv import GetParameters

        self._client = node.create_client(GetParameters, f'{fusion}/get_parameters')
        self._request = GetParameters.Request(names=[PARAMETER])
        self._asked = -ASK_SECONDS
        self._future: Any = None
        self.text = ''

    def look(self) -> None:
        """Ask where it is time to. Called now and then, by the executor's thread."""
        if self._future is not None and self._future.done():
            self.text = _answer(self._future) or self.text
            self._future = None
        if monotonic() - self._asked < ASK_SECONDS or not self._client.service_is_ready():
            return
        self._asked = monotonic()
        if self._future is not None:  # it ended before it answered
            self._client.remove_pending_request(self._future)
        self._future = self._client.call_async(self._request)

    @property
    def labels(self) -> tuple[ClassLabel, ...]:
        """The classes, none until they are known."""
        return parse_classes(self.text) if self.text else ()


def _answer(future: Any) -> str:
    """Return a node's classes as JSON, '' where it did not say any that can be read."""
    response = future.result()
    text = str(response.values[0].string_value) if response and response.values else ''
    try:
        parse_classes(text)
    except ValueError:
        return ''
    return text


def parse_classes(text: str) -> tuple[ClassLabel, ...]:
    """Read what `paif_ros.pictures.labels.classes_json` writes.

    Raises:
        ValueError: the text is something else.
    """
    try:
        items: Sequence[Any] = json.loads(text)
        labels = []
        for item in items:
            red, green, blue = (int(part) for part in item['color'])
            labels.append(ClassLabel(int(item['id']), str(item['name']), (red, green, blue)))
    except (TypeError, KeyError) as err:
        raise ValueError(f'not a list of classes: {text[:80]!r}') from err
    return tuple(labels)
