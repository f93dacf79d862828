"""Video for measuring, and the networks that answer it: exported files and weights alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paif_ros.engines import Prediction, make_engine
from paif_ros.thermal.agc import Agc, ThermalConfig
from scenes import CONDITIONS, Scene, SceneConfig
from scenes.clips import real_clip

U8 = NDArray[np.uint8]
SCENE_SEED = 540  # of the first scene: neither training (1000 and up) nor the demo (0) draws it


@dataclass(frozen=True, eq=False)
class Network:
    """Something that answers pairs.

    Attributes:
        answer: takes uint8 [H, W, 3] RGB and uint8 [H, W].
        classes: names by class id.
        size: (height, width) that it takes, None for any.
    """

    answer: Callable[[U8, U8], Prediction]
    classes: tuple[str, ...]
    size: tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Sequence:
    """A named clip: `frames` yields (visible, 8-bit thermal, label or None), `rate` a second."""

    name: str
    rate: float
    count: int
    frames: Callable[[], Iterator[tuple[U8, U8, U8 | None]]]


def load_network(path: Path, backend: str = 'onnxruntime', threads: int = 0) -> Network:
    """Load exported models with the node's engine, other weights with torch.

    Raises:
        FileNotFoundError: no such file.
        ValueError: weights without a configuration.
        CheckpointError: weights that do not fit it.
        PaifError: the engine can't load the model.
    """
    if path.suffix == '.onnx':
        engine = make_engine(backend, path, threads)
        card = engine.load().card
        names = tuple(label.name for label in card.classes)
        return Network(engine.infer, names, card.input_size)
    import torch

    from models.checkpoint import load_paif
    from models.deploy import deploy

    if threads:
        torch.set_num_threads(threads)
    network = load_paif(path)
    folded = deploy(network)

    @torch.inference_mode()
    def answer(visible: U8, thermal: U8) -> Prediction:
        found = folded(torch.from_numpy(visible)[None], torch.from_numpy(thermal)[None])
        return Prediction(*(tensor[0].numpy() for tensor in found))

    return Network(answer, tuple(label.name for label in network.config.classes), None)


def clips(folder: Path, every: int, frames: int) -> list[Sequence]:
    """Return the clips of a folder, or the one clip that it is.

    Args:
        folder: the prefix of PREFIX_visible.mp4 and PREFIX_infrared.mp4, a folder of such films,
            or one of pictures in vi/ and ir/.
        every: take each so-many-th pair.
        frames: take no more than so many, 0 for all.

    Raises:
        FileNotFoundError: there is no clip.
        ValueError: it can't be read.
    """
    ending = '_visible.mp4'
    names = sorted(path.name.removesuffix(ending) for path in folder.glob(f'*{ending}'))
    found = []
    for source in [folder / name for name in names] or [folder]:
        clip = real_clip(source)
        count = len(range(0, clip.count, every))

        def shots(clip=clip) -> Iterator[tuple[U8, U8, U8 | None]]:  # type: ignore[no-untyped-def]
            agc = Agc()
            for number, shot in enumerate(islice(clip.shots(), 0, None, every)):
                stamp = round((number + 1) * every * 1e9 / clip.rate)
                yield shot.visible, agc.apply(shot.thermal, ThermalConfig(), stamp), None

        count = min(count, frames) if frames else count
        found.append(Sequence(source.name, clip.rate / every, count, shots))
    return found


def drawn(scenes: int, rate: float, frames: int, seed: int = SCENE_SEED) -> list[Sequence]:
    """Return generated scenes, all conditions in turn, thermal as the node's range shows it.

    Args:
        scenes: how many.
        rate: frames per second.
        frames: of each scene.
        seed: of the first one; each further takes the next number.

    Raises:
        ValueError: a value is out of the range that scenes have.
    """
    found = []
    for number in range(scenes):
        config = SceneConfig(seed + number, CONDITIONS[number % len(CONDITIONS)], rate=rate)

        def shots(config: SceneConfig = config) -> Iterator[tuple[U8, U8, U8 | None]]:
            scene, agc = Scene(config), Agc()
            for index in range(frames):
                frame = scene.frame(index)
                stamp = round((index + 1) * 1e9 / rate)
                heat = agc.apply(frame.thermal, ThermalConfig(), stamp)
                yield frame.visible, heat, frame.label

        found.append(Sequence(f'{config.condition} {config.seed}', rate, frames, shots))
    return found
