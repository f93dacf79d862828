"""What a scene is drawn from: its seed, its condition, its size and its rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONDITIONS = ('day', 'night', 'glare', 'smoke')
CLASSES = (
    'background',
    'car',
    'person',
    'bike',
)  # place is the id, same as the real data's labels
BACKGROUND, CAR, PERSON, BIKE = range(4)

MIN_SIDE, MAX_SIDE = 64, 2048
MAX_RATE = 1000.0
MAX_OBJECTS = 64


@dataclass(frozen=True)
class SceneConfig:
    """One scene. Equal configurations draw equal bytes.

    Attributes:
        seed: 0 or more; camera, street, palette, objects and noise all follow from it.
        condition: one of CONDITIONS.
        height: rows of a frame, 64 to 2048 pixels.
        width: columns of a frame, 64 to 2048 pixels.
        rate: frames per second, above 0 and up to 1000.
        objects: how many moving or parked objects there are, 0 to 64. None draws it from the seed.

    Raises:
        ValueError: a value lies outside its limits.
    """

    seed: int
    condition: str = 'day'
    height: int = 480
    width: int = 640
    rate: float = 10.0
    objects: int | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f'seed is {self.seed}, it must be 0 or more')
        if self.condition not in CONDITIONS:
            raise ValueError(f'condition is {self.condition!r}, it must be one of {CONDITIONS}')
        for name, side in (('height', self.height), ('width', self.width)):
            if not MIN_SIDE <= side <= MAX_SIDE:
                raise ValueError(f'{name} is {side}, it must be {MIN_SIDE} to {MAX_SIDE} pixels')
        if not 0.0 < self.rate <= MAX_RATE:
            raise ValueError(f'rate is {self.rate}, it must be above 0 and up to {MAX_RATE} Hz')
        if self.objects is not None and not 0 <= self.objects <= MAX_OBJECTS:
            raise ValueError(f'objects is {self.objects}, it must be 0 to {MAX_OBJECTS} or None')

    @property
    def dark(self) -> bool:
        """Whether the sun is down."""
        return self.condition in ('night', 'glare')

    def generator(self, *key: int) -> np.random.Generator:
        """Return the random generator of one purpose, so that purposes don't disturb each other.

        Args:
            key: numbers that name the purpose, such as (STREET,) or (SENSOR, frame index).
        """
        return np.random.default_rng([self.seed, CONDITIONS.index(self.condition), *key])


# The purposes that generators are made for.
CAMERA, STREET, LIGHT, WORLD, WEATHER, SENSOR, STAMPS = range(7)
