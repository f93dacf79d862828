"""Folders of runs as paif-replay leaves them, written with its own writers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from paif_ros.contract import ClassLabel
from paif_ros.fusion.results import Result, Scene
from paif_ros.parameters import specs
from paif_ros.replay.record import (
    DROPS,
    FRAMES,
    STAGES,
    CameraCounts,
    Counts,
    DropRow,
    FrameRow,
    Loss,
    Model,
    Recording,
    RowWriter,
    RunRecord,
    drop_cells,
    drop_header,
    frame_cells,
    frame_header,
)
from paif_ros.replay.sinks import Beginning, Fused

CLASSES = (
    ClassLabel(0, 'background', (0, 0, 0)),
    ClassLabel(1, 'car', (0, 120, 255)),
    ClassLabel(2, 'person', (255, 60, 0)),
    ClassLabel(3, 'bike', (60, 200, 80)),
)
START = 1_700_000_000 * 10**9
PERIOD = 10**9 // 15
NASTY = '<script>alert(1)</script>&"\''


def rows(count: int) -> list[FrameRow]:
    """Return results of a run: every 50th is slow, cars come in the middle."""
    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        stamp = START + number * PERIOD
        slow = 3.0 if number % 50 == 49 else 1.0
        base = dict(zip(STAGES, (0.6, 0.2, 0.9, 1.4, 0.8, 31.0, 4.0, 2.5), strict=True))
        times = {stage: ms * slow * float(random.gamma(40, 1 / 40)) for stage, ms in base.items()}
        car = 0.12 * max(0.0, np.sin(np.pi * number / count))
        person = 0.03 + 0.02 * np.sin(number / 17)
        skew = float(random.normal(1.5, 0.8))
        made.append(
            FrameRow(
                number, 'pair', stamp, stamp, stamp - round(skew * 1e6), stamp + 4 * 10**6, skew,
                number // 30, number // 20, 20100.0 + 80 * np.sin(number / 90),
                24300.0 + 500 * np.sin(number / 140), times,
                (1 - car - person, car, person, 0.0),
            )
        )  # fmt: skip
    return made


def drops(count: int) -> list[DropRow]:
    """Return frames that were dropped."""
    made = [DropRow(START + n * PERIOD, 'visible', 'no_partner', START + n * PERIOD)
            for n in range(0, count, 30)]  # fmt: skip
    made += [
        DropRow(START + n * PERIOD, 'thermal', reason, START + n * PERIOD)
        for n in range(0, count, 20)
        for reason in (('malformed',) if count // 3 < n < count // 2 else ('no_partner',))
    ]
    return sorted(made, key=lambda drop: drop.log_ns)


def write_run(folder: Path, count: int, *, state: str = 'done') -> Path:
    """Write run.json, frames.csv and drops.csv. The recording's name is a nasty one."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = RowWriter(folder / FRAMES, frame_header(len(CLASSES)))
    for row in rows(count):
        frames.write(frame_cells(row, len(CLASSES)))
    frames.close()
    lost = drops(count)
    writer = RowWriter(folder / DROPS, drop_header())
    for drop in lost:
        writer.write(drop_cells(drop))
    writer.close()
    cameras = {
        camera: CameraCounts(
            count + sum(d.camera == camera for d in lost), count, 0,
            {r: sum((d.camera, d.reason) == (camera, r) for d in lost)
             for r in {d.reason for d in lost if d.camera == camera}},
        )
        for camera in ('visible', 'thermal')
    }  # fmt: skip
    parameters = {name: spec.default for name, spec in specs().items()}
    record_of(folder, count, cameras, {**parameters, 'sync.slop': 0.05}, state).write(folder)
    return folder


def record_of(
    folder: Path, count: int, cameras: dict[str, CameraCounts], parameters: Any, state: str
) -> RunRecord:
    end = START + count * PERIOD
    recording = Recording(
        f'/data/{NASTY}/drive.mcap', 'bag', 'ab' * 32, 734_003_200, START, end, 3 * count,
        {'color': '/color/image_raw', 'thermal': '/thermal/image_raw'},
        (Loss('drive.mcap', 'the last chunk is cut short', 70_123),),
    )  # fmt: skip
    model = Model(
        'models/weights/paif_small.onnx', 'cd' * 32, 'paif', 'small', 'ef' * 32, (480, 640),
        'onnxruntime', 'CPUExecutionProvider', 'fp32', 'no TensorRT here',
        tuple({'id': c.id, 'name': c.name, 'color': list(c.color)} for c in CLASSES),
    )  # fmt: skip
    return RunRecord(
        state=state, exit_code=3 if state == 'done' else None,
        message='done, with loss: 1 chunk of the recording' if state == 'done' else '',
        started='2026-11-25T00:31:02+00:00', seconds=count * 0.043,
        command=('paif-replay', f'{NASTY}/drive.mcap', '-o', str(folder)),
        versions={'paif_ros': '0.1.0', 'python': '3.11.7', 'numpy': '2.4.6'},
        recording=recording, parameters=parameters,
        counts=Counts(cameras['visible'], cameras['thermal'], count, count), model=model,
        outputs={'bag': 'bag', 'key_frames': 'key_frames'},
    )  # fmt: skip


def beginning(folder: Path, part: int = 0) -> Beginning:
    """Return what a sink is told first."""
    engine: Any = SimpleNamespace(card=SimpleNamespace(classes=CLASSES))
    return Beginning(folder, engine, None, {}, part)  # type: ignore[arg-type]


def fused(row: FrameRow, size: tuple[int, int] = (60, 80)) -> Fused:
    """Return a result with pictures that tell its number."""
    shade = np.uint8(row.number * 7 % 256)
    color = np.full((*size, 3), shade, np.uint8)
    heat = np.full(size, 255 - shade, np.uint8)
    scene = Scene(color, heat)
    mask = np.zeros(size, np.uint8)
    mask[10:30, 10:30] = 1
    result = Result(
        size, fused=color // 2 + heat[..., None] // 2, overlay=color, thermal=heat, mask=mask,
        scene=scene,
    )  # fmt: skip
    return Fused(row, None, result, ())  # type: ignore[arg-type]
