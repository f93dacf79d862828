"""What an evaluation found, as rows of a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.datasets.pair import LabelledPair
from models.evaluation.inputs import INPUTS, verdicts
from models.evaluation.sets import by_time
from models.fusion_metrics import FusionMetrics, mean_metrics
from models.metrics import Scores, scores

FUSED = INPUTS[0]
Matrices = Mapping[str, Mapping[str, NDArray[np.int64]]]
"""By input and attack int64 [pairs, classes, classes]."""


@dataclass
class Found:
    """What was found on a set of pairs, or on several together.

    Attributes:
        pairs: that were scored.
        matrices: confusion matrices of each pair, by input and attack.
        losses: fusion loss of each clean pair; empty where no clean pair was asked for.
        metrics: of each clean fused picture; empty where not asked for.
        missing: scores without a camera, by camera and by what stands in for it.
    """

    pairs: list[LabelledPair] = field(default_factory=list)
    matrices: Matrices = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    metrics: list[FusionMetrics] = field(default_factory=list)
    missing: dict[str, dict[str, Scores]] = field(default_factory=dict)

    def scores(self, places: Sequence[int] | None = None) -> dict[str, dict[str, Scores]]:
        """Return scores by input and attack, of some pairs or of all, pooled."""
        chosen = slice(None) if places is None else list(places)
        return {
            name: {attack: scores(found[chosen].sum(0)) for attack, found in by_attack.items()}
            for name, by_attack in self.matrices.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Return the entries of a report; those of `attacks` are of the fused pictures."""
        entry = {'pairs': len(self.pairs), **_entry(self.scores())}
        if self.losses:
            entry['fusion_loss'] = float(np.mean(self.losses))
        if self.metrics:
            entry['fusion_metrics'] = asdict(mean_metrics(self.metrics))
        entry['missing'] = {
            camera: {fill: asdict(found) for fill, found in fills.items()}
            for camera, fills in self.missing.items()
        }
        entry['groups'] = {
            name: {'pairs': len(places), **_entry(self.scores(places))}
            for name, places in by_time(self.pairs).items()
        }
        return entry


def together(sets: Iterable[Found]) -> Found:
    """Return several sets as one; what is missing cameras stays with each."""
    all_of = list(sets)
    first = all_of[0].matrices
    return Found(
        [pair for one in all_of for pair in one.pairs],
        {
            name: {
                attack: np.concatenate([one.matrices[name][attack] for one in all_of])
                for attack in first[name]
            }
            for name in first
        },
        [loss for one in all_of for loss in one.losses],
        [metrics for one in all_of for metrics in one.metrics],
    )


def _entry(found: Mapping[str, Mapping[str, Scores]]) -> dict[str, Any]:
    """Return scores as JSON: `attacks` of the fused pictures, `inputs` where there are more."""

    def attacks(name: str) -> dict[str, Any]:
        return {attack: asdict(value) for attack, value in found[name].items()}

    entry: dict[str, Any] = {'attacks': attacks(FUSED)}
    if len(found) > 1:
        entry['inputs'] = {name: {'attacks': attacks(name)} for name in found}
        entry['fusion_beats_inputs'] = {
            attack: all(
                value.miou_foreground > found[other][attack].miou_foreground
                for other in found
                if other != FUSED
            )
            for attack, value in found[FUSED].items()
        }
    return entry


def header(classes: Sequence[str]) -> str:
    """Return the head of the table."""
    names = ' '.join(f'{name[:10]:>10s}' for name in classes)
    return f'{"IoU in %":40s} {"mean":>6s} {"fgnd":>6s} {names}'


def row(title: str, found: Scores) -> str:
    """Return scores in percent as one row of the table."""
    means = f'{100 * found.miou:6.1f} {100 * found.miou_foreground:6.1f}'
    return f'{title:40s} {means} ' + ' '.join(f'{100 * value:10.1f}' for value in found.iou)


def rows(title: str, found: Found) -> Iterator[str]:
    """Yield a set's rows: every input under every attack, by day and night, then verdicts."""
    whole = found.scores()
    yield from _block(f'{title} ({len(found.pairs)})', whole)
    for name, places in by_time(found.pairs).items():
        yield from _block(f'  {name} ({len(places)})', found.scores(places))
    for line in verdicts(whole):
        yield f'  {line}'


def _block(title: str, found: Mapping[str, Mapping[str, Scores]]) -> Iterator[str]:
    """Yield one row for each attack and input; the title stands in for 'none, fused'."""
    indent = ' ' * (2 + len(title) - len(title.lstrip()))
    first = True
    for attack in found[FUSED]:
        for name in found:
            words = [attack] if len(found) == 1 else [attack, name]
            if first and attack == 'none':
                yield row(title, found[name][attack])
            else:
                if first:
                    yield title
                yield row(indent + ', '.join(words), found[name][attack])
            first = False
