"""Cuts a long recording into stretches that are replayed side by side, with the same result.

Stretches are cut by the time of recording: every message belongs to exactly one. Each but the
first reads some seconds of recording before its start, its lead, to get pairing and thermal range
into step without the network. Whether that was enough is not hoped but checked: what all later
results depend on (frames that wait for a partner, the cameras' rhythm, the AGC's range) is
written down at the start and at the end of each stretch, and where the end of one differs from
the start of the next, the next one is done again, with the whole recording as its lead.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from paif_ros.images.messages import NS
from paif_ros.parameters import Parameters
from paif_ros.replay.feed import Feed
from paif_ros.replay.options import Task
from paif_ros.replay.run import TRACE

LEAST_LEAD = 10.0  # seconds
TIME_CONSTANTS = 20  # of the AGC's smoothing: e**-20 is 2e-9 of what the range was before
SAME = 1e-6  # part of its width by which the AGC's range may differ
SHORTEST = 30.0  # seconds that a stretch has at least where nobody says how long


def cut(feed: Feed, values: Parameters, split: float, parts: int) -> list[int]:
    """Return the times at which to cut a recording, in order.

    Args:
        feed: the recording.
        values: of the node.
        split: seconds of each stretch; 0 chooses: at the bag's own files where it has several,
            else in equal parts.
        parts: in how many parts it is to be cut then, at most.

    Returns:
        The start of each stretch but the first, in ns. Empty where it is not cut: its times are
        not known without reading it, or mask.hold makes each mask depend on all before.
    """
    span = feed.span
    if span is None or values.mask.hold > 1:
        return []
    first, last = span
    if split > 0:
        step = round(split * NS)
        return list(range(first + step, last, step))
    if feed.borders:
        return [border for border in feed.borders if first < border <= last]
    count = min(parts, int((last - first) / NS / SHORTEST))
    step = (last - first) // max(1, count)
    return [first + number * step for number in range(1, count)]


def stretches(task: Task, cuts: Sequence[int], folder: Path) -> list[Task]:
    """Return a task for each stretch.

    Args:
        task: of the whole recording.
        cuts: from `cut`, one or more.
        folder: that gets a folder for each.
    """
    values = task.options.values
    lead = max(LEAST_LEAD, TIME_CONSTANTS * values.thermal.smoothing, 2 * values.sync.timeout)
    starts: list[int | None] = [None, *cuts]
    stops: list[int | None] = [*cuts, None]
    return [
        replace(
            task,
            folder=str(folder / f'{number:05}'),
            start=start,
            stop=stop,
            lead=None if start is None else start - round(lead * NS),
        )
        for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
    ]


def out_of_step(tasks: Sequence[Task]) -> list[int]:
    """Return which stretches of a recording do not go on where the one before ended.

    Args:
        tasks: all done, in order.
    """
    traces = [json.loads((Path(task.folder) / TRACE).read_text('utf-8')) for task in tasks]
    return [
        number
        for number in range(1, len(tasks))
        if not same_state(traces[number - 1]['end'], traces[number]['start'])
    ]


def same_state(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """Whether two traces of a core lead to the same results."""
    if one[0] != other[0]:
        return False
    ranges = one[1], other[1]
    if None in ranges:
        return ranges == (None, None)
    width = max(abs(ranges[0][1] - ranges[0][0]), 1e-12)
    return all(
        math.isclose(a, b, rel_tol=0.0, abs_tol=SAME * width) for a, b in zip(*ranges, strict=True)
    )
