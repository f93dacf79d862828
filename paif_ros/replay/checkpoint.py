"""How far a run is, so that it can be taken up again: checkpoint.json in its folder.

What lies in memory is not kept. A run that is taken up again reads the recording from where it
had begun once more, up to the checkpoint, and lets pairing and thermal range follow without the
network: the same code on the same messages, hence the same state to the last bit. Only what the
steady mask remembers (mask.hold above 1) is made by the network, and is kept here.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paif_ros.fusion.hysteresis import MaskMemory
from paif_ros.replay.record import Counts, RecordError, counts_from_dict, write_atomically

NAME = 'checkpoint.json'


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stands.

    Attributes:
        key: what it depends on: recording, model, parameters, options, version. A run goes on
            only with the same.
        position: messages taken, those that were skimmed included.
        part: parts that the sinks have closed.
        frames_bytes: size of frames.csv.
        drops_bytes: size of drops.csv.
        counts: of what became of everything.
        seconds: of work so far.
        memory: of the steady mask, None where it has none.
    """

    key: Mapping[str, Any]
    position: int
    part: int
    frames_bytes: int
    drops_bytes: int
    counts: Counts
    seconds: float
    memory: Mapping[str, Any] | None = None

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all."""
        write_atomically(folder / NAME, json.dumps(asdict(self)) + '\n')

    @classmethod
    def read(cls, folder: Path) -> Checkpoint | None:
        """Read that of a folder, None where there is none.

        Raises:
            RecordError: it can't be read.
        """
        path = folder / NAME
        try:
            tree = json.loads(path.read_text('utf-8'))
            return cls(**{**tree, 'counts': counts_from_dict(tree['counts'])})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as err:
            raise RecordError(path, f'can not be read ({err!r}); start anew') from err


def packed(memory: MaskMemory | None) -> Mapping[str, Any] | None:
    """Return what the steady mask remembers as JSON has it."""
    if memory is None:
        return None
    pictures = {}
    for name in ('visible', 'thermal', 'mask', 'shown', 'run'):
        picture = getattr(memory, name)
        data = base64.b64encode(np.ascontiguousarray(picture).tobytes()).decode('ascii')
        pictures[name] = {'shape': list(picture.shape), 'data': data}
    return {'stamp': memory.stamp, 'alone': memory.alone, **pictures}


def unpacked(tree: Mapping[str, Any] | None) -> MaskMemory | None:
    """Take from JSON what the steady mask remembers."""
    if tree is None:
        return None
    pictures = {
        name: np.frombuffer(base64.b64decode(tree[name]['data']), np.uint8)
        .reshape(tree[name]['shape'])
        .copy()
        for name in ('visible', 'thermal', 'mask', 'shown', 'run')
    }
    return MaskMemory(stamp=tree['stamp'], alone=tree['alone'], **pictures)


def difference(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = '') -> str:
    """Return the first thing in which two keys differ, in words; '' where they are equal."""
    for name in sorted({*one, *other}):
        a, b = one.get(name), other.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if found := difference(a, b, f'{prefix}{name}.'):
                return found
        elif a != b:
            return f'{prefix}{name} was {a!r} and is {b!r}'
    return ''
