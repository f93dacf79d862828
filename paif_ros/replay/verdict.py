"""How a run ended: its exit code, and one sentence that says what was lost and what to do."""

from __future__ import annotations

from paif_ros.monitoring.accounting import DropReason
from paif_ros.replay.record import RunRecord

CLEAN, FAILED, WRONG, LOSSY = 0, 1, 2, 3
# A frame without a partner is no loss: cameras do not start together, and one may be faster.
NO_LOSS = (DropReason.NO_PARTNER.value,)
CURES = {
    DropReason.OVERFLOW.value: (
        'more than sync.queue_size waited for the other camera: it had stopped, or was recorded '
        'much later'
    ),
    DropReason.BAD_STAMP.value: 'their stamps are 0: see that the driver sets header.stamp',
    DropReason.UNREGISTERED.value: 'the calibration does not fit: see registration.file',
}


def verdict(record: RunRecord) -> tuple[int, str]:
    """Judge a run that has ended.

    Args:
        record: with its state, counts and losses; its message is kept in front.

    Returns:
        Exit code and message.
    """
    counts = record.counts
    told = [record.message] if record.message else []
    if record.state != 'done':
        return FAILED, '; '.join(told)
    lost: dict[str, int] = {}
    for camera in (counts.visible, counts.thermal):
        for reason, number in camera.dropped.items():
            lost[reason] = lost.get(reason, 0) + number
    alone = sum(lost.pop(reason, 0) for reason in NO_LOSS)
    damage = record.recording.losses
    code = LOSSY if lost or any(loss.bytes != 0 for loss in damage) else CLEAN
    if (
        not counts.results
        and record.options.get('stop') is None
        and not record.options.get('start')
    ):
        code = FAILED
        told.append(_nothing(record, alone))
    told += [f'{number} frames dropped as {why}{_cure(why)}' for why, number in lost.items()]
    told += [f'{loss.file}: {loss.what}' for loss in damage]
    if alone and counts.results:
        told.append(f'{alone} frame{"s" if alone != 1 else ""} had no partner')
    return code, '; '.join(told)


def _nothing(record: RunRecord, alone: int) -> str:
    counts = record.counts
    frames = f'{counts.visible.received} RGB and {counts.thermal.received} thermal frames'
    if alone:
        return f'nothing was fused: {frames}, none within sync.slop of another; see docs/replay.md'
    return f'nothing was fused of {frames}'


def _cure(reason: str) -> str:
    return f' ({CURES[reason]})' if reason in CURES else ''
