"""A report's run from a bag in which a node's outputs were recorded, without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paif_ros.contract import ClassLabel
from paif_ros.fusion.outgoing import LABELS, PICTURES
from paif_ros.report.of_node import run_of_node
from paif_ros.report.page import ReportError
from paif_ros.report.run import Run, Table
from paif_ros.report.watch import MOST_FRAMES, Watch
from paif_ros.report.words import size, utc
from paif_ros.view.status import SUFFIX, fusion_statuses

DIAGNOSTICS = '/diagnostics'
NS = 1e9
NOTES = (
    'A bag does not say which parameters the node had, nor the colours of its classes, nor '
    'versions: `paif-report --live` asks the node.',
)


def run_of_bag(path: Path, node: str = '', color_topic: str = '/color/image_raw') -> Run:
    """Read a bag.

    Args:
        path: of the bag: a folder, or an mcap file.
        node: full name of the fusion node; '' takes the one that the diagnostics name.
        color_topic: of the RGB camera, for the contact sheet.

    Raises:
        ReportError: rosbags is not installed, the bag can't be read, or the node is not in it.
    """
    try:
        from rosbags.highlevel import AnyReader

        from paif_ros.replay.messages import store
    except ImportError as err:
        raise ReportError('no rosbags in this Python', 'pip install rosbags') from err
    try:
        with AnyReader([path], default_typestore=store()) as reader:
            name = _node(reader, path, node)
            watch = _watched(reader, name, color_topic)
            start, messages = reader.start_time, reader.message_count
    except ReportError:
        raise
    except Exception as err:  # rosbags and the storage below it raise what they like
        cure = f'is not a ROS 2 bag that can be read ({err}); paif-replay recovers broken ones'
        raise ReportError(str(path), cure) from err
    files = [path] if path.is_file() else [one for one in path.iterdir() if one.is_file()]
    what = {
        'path': str(path),
        'size': size(sum(one.stat().st_size for one in files)),
        'messages': messages,
        'from': _moment(start),
    }
    source = f'recorded outputs in {path}, {_moment(start)}'
    return run_of_node(watch, source, [Table.of('Recording', what)], NOTES)


def _messages(reader: Any, topics: set[str]) -> Iterator[tuple[str, int, Any]]:
    """Yield topic, time in ns and message; one that can't be read is left out."""
    connections = [one for one in reader.connections if one.topic in topics]
    if not connections:  # rosbags takes an empty list for all of them
        return
    for connection, at, raw in reader.messages(connections):
        try:
            message = reader.deserialize(raw, connection.msgtype)
        except Exception:  # noqa: S112 - a broken message: rosbags raises what comes
            continue
        yield connection.topic, at, message


def _node(reader: Any, path: Path, wanted: str) -> str:
    """Return the node that is reported on."""
    names: set[str] = set()
    for _, _, message in _messages(reader, {DIAGNOSTICS}):
        names |= {status.node for status in fusion_statuses(message)}
        if wanted in names or (not wanted and names):
            return wanted or sorted(names)[0]
    there = f'there is {", ".join(sorted(names))}' if names else 'record /diagnostics too'
    asked = f'{wanted}{SUFFIX}' if wanted else f'any node{SUFFIX}'
    raise ReportError(f'{path} has no diagnostics of {asked}', there)


def _watched(reader: Any, node: str, color_topic: str) -> Watch:
    duration = max((reader.end_time - reader.start_time) / NS, 1e-3)
    watch = Watch(duration / MOST_FRAMES)
    parts = {color_topic: 'rgb'}
    for part in ('fused', 'overlay', 'thermal'):
        topic = PICTURES[part].name.replace('~', node, 1)
        parts[topic] = parts[f'{topic}/compressed'] = part
    mask = PICTURES['mask'].name.replace('~', node, 1)
    masks = {mask, f'{mask}/compressed'}
    names = LABELS.replace('~', node, 1)
    for topic, at, message in _messages(reader, {DIAGNOSTICS, names, *masks, *parts}):
        seconds = (at - reader.start_time) / NS
        if topic == DIAGNOSTICS:
            for status in fusion_statuses(message):
                if status.node == node:
                    watch.diagnose(seconds, status)
        elif topic in masks:
            watch.mask(seconds, message)
        elif topic == names:
            watch.classes = _named(message)
        else:
            watch.picker.add(seconds, parts[topic], message)
    return watch


def _named(message: Any) -> tuple[ClassLabel, ...]:
    """Return the classes of a LabelInfo, which has no colours."""
    from paif_ros.report.watch import labels

    colors = labels((), 1 + max((one.class_id for one in message.class_map), default=-1))
    return tuple(
        ClassLabel(int(one.class_id), str(one.class_name), colors[one.class_id].color)
        for one in message.class_map
    )


def _moment(nanoseconds: int) -> str:
    from datetime import datetime, timezone

    return utc(datetime.fromtimestamp(nanoseconds / NS, timezone.utc).isoformat())
