"""Where an alignment is, in a file that survives a kill at any moment."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

STAGES = {
    'code': ('target', 'select', 'gather', 'write'),
    'paper': ('target', 'gather', 'select', 'write'),
}


@dataclass
class State:
    """All that the rest of an alignment depends on; it changes as pictures are read.

    Attributes:
        key: of settings and files; a state goes on only with the same.
        stage: number of the stage in `STAGES`.
        following: place of the next sample in it.
        sums: target: sum of the levels of R, G and B.
        pixels: target: pixels of all patches.
        counts: external: pixels of each level of R, G and B, of the patches to fit to.
        offered: external: patches scored.
        total: sum of their scores.
        best: external: those kept (`models.vision_alignment.patches.Best.items`).
        gammas: R, G and B, empty before they are fitted.
        fit: distance before and after, whether the optimiser ended by itself, its new starts.
        before: sum of the scores of the patches written, as they are.
        after: the same through the tables.
        written: patches written.
    """

    key: str
    stage: int = 0
    following: int = 0
    sums: list[int] = field(default_factory=lambda: [0, 0, 0])
    pixels: int = 0
    counts: list[list[int]] = field(default_factory=lambda: [[0] * 256 for _ in range(3)])
    offered: int = 0
    total: float = 0.0
    best: list[list[float]] = field(default_factory=list)
    gammas: list[float] = field(default_factory=list)
    fit: list[float] = field(default_factory=list)
    before: float = 0.0
    after: float = 0.0
    written: int = 0

    def save(self, path: Path) -> None:
        """Write the state beside the old one and swap: a kill never leaves half a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix('.tmp')
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> State:
        """Read a state; JSON keeps every bit of its numbers."""
        return cls(**json.loads(path.read_text()))
