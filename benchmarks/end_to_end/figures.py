"""What is computed of a trial, without ROS: drops by reason, latency, jitter, the highest rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paif_ros.monitoring.statistics import STAGES

MAX_DROPPED = 0.05  # share of the pairs, as in ros2_benchmark's search
BRACKET = (1.6, 1.25)  # how far below and above the first guess the rate is looked for
SLOWEST = 1.0  # pairs a second: the least first guess, where a flooded node gave nothing
Arrivals = Sequence[tuple[int, int]]
"""Stamp of a message and when it arrived, ns of the same clock."""


@dataclass(frozen=True)
class Trial:
    """One stretch of pairs at one rate.

    Attributes:
        rate: pairs a second that were asked for.
        sent_rate: pairs a second that the cameras' process managed.
        sent: pairs.
        results: pairs whose fused picture and mask both arrived.
        result_rate: of them a second.
        drops: pairs without a result by reason; 'before_node' and 'after_node' were lost between
            processes, 'pending' were under way at the end (less those that the trial before had
            left), the others are the node's own reasons.
        latency_ms: from the RGB frame's stamp to the later of both pictures: mean, p50, p99, max;
            empty without results.
        jitter_ms: change from one interval between results to the next, absolute: mean, max;
            empty with fewer than three results.
        node_cpu_ms: processor time of the node for a result, all threads; NaN without results.
        late_p99_ms: by how much pairs went out late.
        load: load average of a minute before the trial.
    """

    rate: float
    sent_rate: float
    sent: int
    results: int
    result_rate: float
    drops: dict[str, int]
    latency_ms: dict[str, float]
    jitter_ms: dict[str, float]
    node_cpu_ms: float
    late_p99_ms: float
    load: float

    @property
    def dropped(self) -> float:
        """Share of the pairs that have no result, 0 to 1."""
        return 1 - self.results / self.sent

    @property
    def kept_up(self) -> bool:
        """Whether fewer than 5 % were dropped, at the rate that was asked for."""
        return self.dropped < MAX_DROPPED and self.sent_rate > self.rate * (1 - MAX_DROPPED)


def later_of(arrivals: Sequence[Arrivals], stamps: Sequence[int]) -> dict[int, int]:
    """Return when the last message of each result arrived, by stamp, in order of arrival.

    Args:
        arrivals: of each topic.
        stamps: of the pairs that were sent; other messages are of an earlier trial.
    """
    by_topic = [dict(each) for each in arrivals]
    whole = [stamp for stamp in stamps if all(stamp in each for each in by_topic)]
    ends = {stamp: max(each[stamp] for each in by_topic) for stamp in whole}
    return dict(sorted(ends.items(), key=lambda item: item[1]))


def drops_of(
    sent: int, results: int, before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, int]:
    """Return pairs without a result by reason, those that occurred.

    The node counts every RGB frame in one place, so with `results` they add up to `sent`.

    Args:
        sent: pairs.
        results: pairs whose pictures arrived.
        before: the node's diagnostics before the trial.
        after: and after it.
    """

    def grown(key: str) -> int:
        return int(after[key]) - int(before.get(key, 0))

    prefix = 'visible.dropped.'
    found = {'before_node': sent - grown('visible.received')}
    found |= {key.removeprefix(prefix): grown(key) for key in after if key.startswith(prefix)}
    found['pending'] = grown('visible.pending')
    found['after_node'] = grown('visible.paired') - results
    return {reason: count for reason, count in found.items() if count}


def stages_of(diagnostics: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return p50 and p99 in milliseconds by stage out of the node's diagnostics."""
    return {
        stage: {name: float(diagnostics[f'latency.{stage}.{name}_ms']) for name in ('p50', 'p99')}
        for stage in STAGES
    }


def spread_of(ends: Mapping[int, int]) -> tuple[dict[str, float], dict[str, float]]:
    """Return latency and jitter in milliseconds, see `Trial`.

    Jitter as in ros2_benchmark's basic_performance_calculator.

    Args:
        ends: when each result arrived, by its stamp, in order of arrival, ns.
    """
    if not ends:
        return {}, {}
    late = (np.array(list(ends.values())) - np.array(list(ends))) / 1e6
    latency = {
        'mean': float(late.mean()),
        'p50': float(np.percentile(late, 50, method='inverted_cdf')),
        'p99': float(np.percentile(late, 99, method='inverted_cdf')),
        'max': float(late.max()),
    }
    changes = np.abs(np.diff(list(ends.values()), 2)) / 1e6
    if not changes.size:
        return latency, {}
    return latency, {'mean': float(changes.mean()), 'max': float(changes.max())}


def highest_rate(
    probe: Callable[[float], Trial], top: float, probes: int
) -> tuple[float | None, list[Trial]]:
    """Search for the highest rate with under 5 % drops.

    The first trial asks for more than the node can do: what it still gives is the first guess.
    Bisection follows around that, by ratio: five trials after the first leave 2 %.

    Args:
        probe: runs a trial at a rate.
        top: the highest rate to try.
        probes: how many trials at most.

    Returns:
        The highest rate that was kept up in a trial, None where none was, and all trials.
    """
    trials = [probe(top)]
    if trials[0].kept_up:
        return top, trials
    guess = max(trials[0].result_rate, SLOWEST)
    low, high = guess / BRACKET[0], min(guess * BRACKET[1], top)
    best: float | None = None
    while len(trials) < probes:
        trial = probe(round(math.sqrt(low * high), 2))
        trials.append(trial)
        if trial.kept_up:
            low = best = trial.rate
        else:
            high = trial.rate
    return best, trials
