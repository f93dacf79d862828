"""Which results of a run are shown: some at equal distances, and those that stand out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

EVEN = 12  # frames at equal distances: this many at most, half as many at least


@dataclass
class Selection:
    """Chooses while a run goes on, whatever its length.

    Attributes:
        step: every so many-th result is kept.
        even: numbers of those.
        records: by what it is the record of, such as 'slowest': the value and the number.
    """

    step: int = 1
    even: list[int] = field(default_factory=list)
    records: dict[str, tuple[float, int]] = field(default_factory=dict)

    def offer(self, number: int, values: Mapping[str, float]) -> bool:
        """Look at the next result.

        Args:
            number: above all before.
            values: by what it could be the record of; nothing is one with 0 or less.

        Returns:
            Whether it is kept, so that its pictures are needed.
        """
        taken = False
        if number % self.step == 0:
            self.even.append(number)
            taken = True
        while len(self.even) > EVEN:
            self.step *= 2
            self.even = [kept for kept in self.even if kept % self.step == 0]
        for name, value in values.items():
            if value > max(0.0, self.records.get(name, (0.0, 0))[0]):
                self.records[name] = (value, number)
                taken = True
        return taken and number in self.kept

    @property
    def kept(self) -> set[int]:
        """Numbers of all that are shown."""
        return {*self.even, *(number for _, number in self.records.values())}

    def why(self, number: int) -> tuple[str, ...]:
        """Return what a result is the record of."""
        return tuple(name for name, (_, holder) in self.records.items() if holder == number)

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget results whose pictures are lost."""
        gone = set(numbers)
        self.even = [number for number in self.even if number not in gone]
        self.records = {
            name: record for name, record in self.records.items() if record[1] not in gone
        }
