"""The hot path of one job, without ROS: messages in, the wanted pictures out.

codec -> thermal range -> registration -> engine -> steady mask -> results. A camera that has
stopped is stood in for (see `stand_in`); where the thermal camera does not look, the RGB picture
stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from time import monotonic_ns
from typing import Any

from paif_ros.engines.base import U8, Engine, EngineInfo, Prediction, SlowToLoad, Tell
from paif_ros.errors import ImageFormatError
from paif_ros.fusion.hysteresis import OFF, MaskHysteresis, MaskMemory, Seen
from paif_ros.fusion.jobs import Job
from paif_ros.fusion.results import Artist, Result, Scene, Wanted
from paif_ros.fusion.stand_in import stand_in_thermal, stand_in_visible
from paif_ros.images.messages import reader_of
from paif_ros.parameters import MaskParameters, OverlayParameters, Parameters
from paif_ros.pictures.drawing import is_flat, resize_picture
from paif_ros.registration.agreement import Agreement
from paif_ros.registration.registration import Registration
from paif_ros.thermal.agc import Agc, AgcRange, ThermalConfig


@dataclass(frozen=True)
class Settings:
    """What may change between two jobs.

    Attributes:
        thermal: how a thermal frame becomes 8 bit.
        overlay: how the overlay is drawn.
        plane_depth: distance in metres at which extrinsics register exactly, 0 for the file's.
        at_model_size: give the pictures at the model's size rather than the reference camera's.
        mask: how steady the mask is.
    """

    thermal: ThermalConfig
    overlay: OverlayParameters
    plane_depth: float = 0.0
    at_model_size: bool = False
    mask: MaskParameters = OFF

    @classmethod
    def of(cls, values: Parameters) -> Settings:
        """Take them from the node's parameters."""
        names = [field.name for field in fields(ThermalConfig)]
        return cls(
            ThermalConfig(**{name: getattr(values.thermal, name) for name in names}),
            values.overlay,
            values.registration.plane_depth,
            values.output.size == 'model',
            values.mask,
        )


@dataclass(frozen=True)
class Infos:
    """The camera_info messages of a job's cameras, None where none has come."""

    visible: Any = None
    thermal: Any = None


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the network takes of a job.

    Attributes:
        scene: what both cameras see.
        color: uint8 [H, W, 3] RGB at the model's size.
        heat: uint8 [H, W] at the model's size.
        times: nanoseconds by stage so far.
    """

    scene: Scene
    color: U8
    heat: U8
    times: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Answer:
    """What the network said, None where it was not asked, and the nanoseconds it took."""

    prediction: Prediction | None
    times: Mapping[str, int]


class Pipeline:
    """One engine with what goes before and after it.

    Each stage remembers what only it needs, so each may run in a thread of its own, as long as
    jobs go through every stage in one order. All else belongs to the thread of `infer`, but for
    `reset` and `memory`, which belong to that of `finish`.

    Args:
        engine: not yet loaded.
        registration: brings the thermal picture into the RGB frame.
    """

    def __init__(self, engine: Engine, registration: Registration) -> None:
        self._engine = engine
        self._registration = registration
        self._agc = Agc()
        self._agreement = Agreement()
        self._hysteresis = MaskHysteresis()
        self._artist = Artist(())
        self._size = (0, 0)

    @property
    def agc_range(self) -> AgcRange | None:
        """The values that were black and white in the last thermal frame, None for 8-bit ones."""
        return self._agc.range

    @property
    def agreement(self) -> float | None:
        """Mean edge correlation of both cameras over a minute, None until it is known."""
        return self._agreement.correlation

    def load(
        self,
        tell: Tell = lambda _level, _text: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> EngineInfo:
        """Load the engine.

        Args:
            tell: told how it goes, by engines that take minutes.
            stop: asked by those whether to give up.

        Raises:
            EngineError: the model can't be loaded.
            EngineMismatch: it does not keep the contract.
        """
        if isinstance(self._engine, SlowToLoad):
            self._engine.attend(tell, stop)
        info = self._engine.load()
        self._size = info.card.input_size
        self._artist = Artist(info.card.classes)
        import cv2  # noqa: F401 - takes tens of milliseconds: now, not with the first pair

        return info

    def run(self, job: Job, wanted: Wanted, settings: Settings, infos: Infos) -> Result:
        """Fuse and segment the frames of one job: all three stages, one after the other.

        Args:
            job: one or two frames.
            wanted: which pictures to make.
            settings: the values to make them with.
            infos: the cameras' geometry, for registration by extrinsics.

        Raises:
            ImageFormatError: a message can't be read; its field begins with the camera's name.
            CalibrationError: the calibration does not fit these pictures.
            EngineError: the engine failed.
        """
        inputs = self.prepare(job, settings, infos)
        answer = self.infer(inputs, wanted)
        return self.finish(job, inputs, answer, wanted, settings)

    def prepare(self, job: Job, settings: Settings, infos: Infos) -> Inputs:
        """Stage 1: from messages to the pictures that the network takes. See `run`."""
        laps = _Laps()
        color, raw = _decode(job)
        laps.end('decode')

        heat = None
        if job.thermal is not None:
            frozen = job.thermal.payload.frozen
            heat = self._agc.apply(raw, settings.thermal, job.thermal.stamp, hold=frozen)
        laps.end('thermal')

        scene = self._register(color, heat, settings.plane_depth, infos)
        if not scene.alone:
            valid = scene.warp.valid if scene.warp else None
            self._agreement.look(scene.color, scene.heat, valid, job.received)
        color_in, heat_in = (
            resize_picture(scene.color, self._size),
            resize_picture(scene.heat, self._size),
        )
        laps.end('registration')
        return Inputs(scene, color_in, heat_in, laps.times)

    def infer(self, inputs: Inputs, wanted: Wanted) -> Answer:
        """Stage 2: the network, where a wanted picture needs it. See `run`."""
        laps = _Laps()
        found = self._engine.infer(inputs.color, inputs.heat) if wanted.prediction else None
        laps.end('inference')
        return Answer(found, laps.times)

    def finish(
        self, job: Job, inputs: Inputs, answer: Answer, wanted: Wanted, settings: Settings
    ) -> Result:
        """Stage 3: from the network's answer to the wanted pictures. See `run`."""
        laps = _Laps()
        scene, prediction = inputs.scene, answer.prediction
        if prediction is not None:
            seen = Seen(inputs.color, inputs.heat, job.reference.stamp, scene.alone)
            prediction = self._hysteresis.apply(prediction, seen, settings.mask)
        height, width = self._size if settings.at_model_size else scene.color.shape[:2]
        pictures = self._artist.draw(prediction, scene, (height, width), wanted, settings.overlay)
        flat = prediction is not None and is_flat(prediction.fused) and not is_flat(inputs.color)
        laps.end('convert')
        times = {**inputs.times, **answer.times, **laps.times}
        return Result((height, width), **pictures, flat=flat, times=times, scene=scene)

    def follow(self, job: Job, settings: Settings) -> None:
        """Let the thermal range follow a job that is not fused, as `run` would have.

        For a recording that is taken up again in its middle.
        """
        try:
            _, raw = _decode(job)
        except ImageFormatError:  # then `run` does not get to the thermal frame either
            return
        if job.thermal is not None:
            frozen = job.thermal.payload.frozen
            self._agc.apply(raw, settings.thermal, job.thermal.stamp, hold=frozen)

    @property
    def memory(self) -> MaskMemory | None:
        """What the steady mask remembers of the last frame, to be set again later."""
        return self._hysteresis.memory

    @memory.setter
    def memory(self, memory: MaskMemory | None) -> None:
        self._hysteresis.memory = memory

    def reset(self) -> None:
        """Forget the last mask: what comes next has nothing to do with it."""
        self._hysteresis.reset()

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()

    def _register(
        self, color: U8 | None, heat: U8 | None, plane_depth: float, infos: Infos
    ) -> Scene:
        """Bring the thermal picture into the RGB frame, or stand in for a stopped camera."""
        if color is None:
            assert heat is not None
            return Scene(stand_in_visible(heat), heat, alone='thermal')
        if heat is None:
            return Scene(color, stand_in_thermal(color), alone='visible')
        thermal_size, visible_size = ((p.shape[1], p.shape[0]) for p in (heat, color))
        warp = self._registration.warp(
            thermal_size, visible_size, infos.visible, infos.thermal, plane_depth
        )
        if warp is None:
            return Scene(color, heat)
        # Where the thermal camera sees nothing the network gets what it gets of a stopped one.
        outside = stand_in_thermal(color) if warp.coverage < 1 else None
        return Scene(color, warp.apply(heat, outside), warp)


class _Laps:
    """Times of consecutive stages in ns."""

    def __init__(self) -> None:
        self.times: dict[str, int] = {}
        self._last = monotonic_ns()

    def end(self, stage: str) -> None:
        now = monotonic_ns()
        self.times[stage], self._last = now - self._last, now


def _decode(job: Job) -> tuple[U8 | None, Any]:
    color = raw = None
    if job.visible is not None:
        message = job.visible.payload.message
        with _camera('visible'):
            color = reader_of(message).decode_visible(message)
    if job.thermal is not None:
        message = job.thermal.payload.message
        with _camera('thermal'):
            raw = reader_of(message).decode_thermal(message)
    return color, raw


@contextmanager
def _camera(name: str) -> Iterator[None]:
    try:
        yield
    except ImageFormatError as err:
        raise ImageFormatError(f'{name}.{err.field}', err.value, err.expected) from err
