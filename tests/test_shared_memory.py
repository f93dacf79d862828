"""Only what is abandoned and of this run is removed from shared memory."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from shared_memory import YOUNG, sweep


def test_abandoned_files_of_this_run_are_removed(tmp_path: Path) -> None:
    now = 1_000_000.0
    made = {
        'fastdds_abandoned': now - 100,
        'fastrtps_abandoned': now - 100,
        'fastdds_before_the_run': now - 1000,
        'fastdds_just_made': now - YOUNG / 2,
        'fastdds_in_use': now - 100,
        'breakfast_of_others': now - 100,
    }
    for name, stamp in made.items():
        (tmp_path / name).write_bytes(b'0' * 4096)
        os.utime(tmp_path / name, (stamp, stamp))
    with (
        (tmp_path / 'fastdds_in_use').open('rb') as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ),
    ):
        removed = sweep(now - 500, now, tmp_path)
    assert removed == ['fastdds_abandoned', 'fastrtps_abandoned']
    assert {path.name for path in tmp_path.iterdir()} == set(made) - set(removed)
