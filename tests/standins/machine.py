"""A Jetson that is not real, for a node in its own process; files in a folder rule it.

PYTHONPATH names the folder of this file, PAIF_STANDIN that of the files:
full: the GPU has no memory left; slow: a build takes ten seconds; live: what the node holds of the
GPU, written here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TESTS = str(Path(__file__).resolve().parents[1])
if TESTS not in sys.path:
    sys.path.append(TESTS)

import cuda_standin
import tensorrt_standin

FOLDER = Path(os.environ['PAIF_STANDIN'])
HOLDS = ('Malloc', 'Alloc', 'Free', 'Create', 'Destroy', 'Instantiate')
NEEDS_MEMORY = ('cudaHostAlloc', 'cudaGraphLaunch')


class Fails(dict[str, str]):
    """What fails next, by function."""

    def pop(self, name: str, default: Any = '') -> Any:
        full = name in NEEDS_MEMORY and (FOLDER / 'full').exists()
        return 'cudaErrorMemoryAllocation' if full else default


class Runtime(cuda_standin.Runtime):
    def _answer(self, name: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
        answer = super()._answer(name, values)
        if any(part in name for part in HOLDS):
            part = FOLDER / 'live.part'
            part.write_text(json.dumps(self.gpu.live))
            part.replace(FOLDER / 'live')
        return answer


def build_slowly() -> None:
    if (FOLDER / 'slow').exists():
        time.sleep(0.05)


gpu = cuda_standin.Gpu()
gpu.fails = Fails()
runtime = Runtime('12.6', gpu)
tensorrt = tensorrt_standin.make('10.16.1.11')
tensorrt.standin.launch = gpu.launch
tensorrt.standin.steps = 60
tensorrt.standin.during_build = build_slowly
