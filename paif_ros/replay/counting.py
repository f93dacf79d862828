"""The node's counters as those of a run."""

from __future__ import annotations

from paif_ros.monitoring.accounting import JobKind, Source
from paif_ros.monitoring.statistics import Snapshot
from paif_ros.replay.record import CameraCounts, Counts


def counts_of(snapshot: Snapshot) -> Counts:
    """Return a moment's counters."""
    frames = snapshot.frames
    cameras = {
        source.value: CameraCounts(
            received=frames.received[source],
            paired=frames.paired[source],
            single=frames.single[source],
            dropped={reason.value: n for reason, n in frames.dropped[source].items() if n},
        )
        for source in Source
    }
    return Counts(
        **cameras,
        pairs=snapshot.pairs,
        fused=snapshot.fused,
        singles=sum(snapshot.results[JobKind.alone(source)] for source in Source),
        reused=frames.reused,
        lost={reason.value: n for reason, n in snapshot.lost.items() if n},
    )
