"""The fusion node: two cameras in, fused pictures and masks out, on a ROS 2 graph.

A lifecycle node. Configure loads and warms the engine, activate subscribes and publishes,
deactivate stops and keeps the engine, cleanup frees it. The executor's thread takes messages in
and pairs them (`intake`); a worker's thread runs the network on the newest pair (`worker`), so a
slow network delays nothing but itself.
"""

from __future__ import annotations

if __name__ == '__main__':
    # Here, so that signals are handled before the slow imports below.
    from paif_ros.main import main

    main()

from collections.abc import Callable
from time import monotonic_ns
from typing import Any

from rclpy.clock import Clock, ClockType

from paif_ros.cameras.intake import Intake
from paif_ros.cameras.lookout import CameraState
from paif_ros.errors import EngineError, PaifError, ParameterError
from paif_ros.fusion.assembly import pipeline_of
from paif_ros.fusion.worker import Worker, WorkerState
from paif_ros.images.messages import stamp_of
from paif_ros.monitoring.accounting import DropReason, Source
from paif_ros.monitoring.diagnostics import Moment
from paif_ros.monitoring.notices import Level
from paif_ros.monitoring.statistics import Statistics
from paif_ros.parameters import Parameters
from paif_ros.pictures.labels import classes_json
from paif_ros.ros.clock import ClockLookout
from paif_ros.ros.diagnostics import DiagnosticsTopic
from paif_ros.ros.inputs import Inputs
from paif_ros.ros.lifecycle import ManagedNode
from paif_ros.ros.outputs import OutputTopics
from paif_ros.ros.parameters import NodeParameters, strangers

JOIN_SECONDS = 1.0  # how long a transition waits for the job in work
END_SECONDS = 0.5  # the same for the end, which takes 2 s in all
LOOK_SECONDS = 0.5
CLASSES = 'classes'
CLASSES_TEXT = 'Classes of the mask as JSON: id, name, RGB colour. Set by the node.'


class FusionNode(ManagedNode):
    """Subscribes, pairs, hands over to the worker, publishes, reports.

    Args:
        name: the node's name.
        stopping: asked while the model loads, which can take long: True gives up.
        options: whatever else rclpy's LifecycleNode takes, such as `namespace`.

    Raises:
        ParameterError: a parameter is not allowed.
    """

    def __init__(
        self, name: str = 'fusion', stopping: Callable[[], bool] = lambda: False, **options: Any
    ) -> None:
        super().__init__(name, stopping, **options)
        try:
            self._settings = NodeParameters(self)
        except PaifError:
            super().destroy_node()
            raise
        self._statistics = Statistics()
        self._worker: Worker | None = None
        self._stuck: list[Worker] = []  # told to end, but still in native code
        self._idle_worker = WorkerState()  # said while there is none
        self._outputs: OutputTopics | None = None
        self._inputs: Inputs | None = None
        self._intake: Intake | None = None
        self._time_jumps = 0  # of earlier activations
        self._clock_lookout = ClockLookout(self, self._notices)
        self._farewell = DropReason.INACTIVE  # of what is under way when the node is deactivated
        self._patience = JOIN_SECONDS
        self._cameras: dict[Source, CameraState] = {}  # as they were when it was last active
        self._diagnostics = DiagnosticsTopic(self, self._moment())
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # goes on while /clock stands still
        self.create_timer(1.0 / self._present().diagnostics.rate, self._report, clock=steady)
        self.create_timer(LOOK_SECONDS, self._look, clock=steady)
        for stranger in strangers(self):
            self._notices.say(Level.WARN, f'no parameter of this node: {stranger}')
        if self._present().autostart:
            self._start_soon()

    def _present(self) -> Parameters:
        return self._settings.current

    # ---- transitions

    def _configure(self) -> None:
        """Load and warm the engine, read the calibration, make the publishers."""
        values = self._present()
        if not values.model_path:
            raise ParameterError(
                'model_path',
                '',
                'a model file: set it to what export/to_onnx.py wrote, or use the launch file',
            )
        pipeline = pipeline_of(values)
        self._outputs = OutputTopics(self, self._present, self._notices)
        self._worker = Worker(
            pipeline, self._outputs, self._statistics, self._notices, self._present
        )
        try:
            self._wait_for(self._worker)
            assert self._worker.engine is not None
            info, card = self._worker.engine, self._worker.engine.card
            self._settings.publish(CLASSES, classes_json(card.classes), CLASSES_TEXT)
            self._outputs.announce(card.classes)
        except BaseException:
            self._release()
            raise
        self._notices.say(
            Level.INFO,
            f'ready: {card.network} {card.variant} at {card.input_size[1]}x{card.input_size[0]} '
            f'with {len(card.classes)} classes on {info.backend} {info.provider} ({info.reason})',
        )

    def _wait_for(self, worker: Worker) -> None:
        """Wait until the model is loaded. Diagnostics go on meanwhile, and a signal ends it."""
        self._state = 'configuring'
        reported = monotonic_ns()
        period = 1e9 / self._present().diagnostics.rate
        while not worker.wait_loaded(0.02):
            if self._ending():
                raise EngineError('auto', 'told to stop while the model was loading')
            if monotonic_ns() - reported > period:
                reported = monotonic_ns()
                self._report()
        if worker.failure is not None:
            raise worker.failure

    def _activate(self) -> None:
        """Subscribe, and let results out."""
        assert self._worker is not None
        if self._worker.death:
            raise EngineError(
                self._present().engine.backend,
                f'{self._worker.death}: {self._command("cleanup")} and '
                f'{self._command("configure")} first',
            )
        self._inputs = Inputs(
            self, self._present().input, self._receive, self._receive_info, self._notices
        )
        images = self._inputs.images
        self._intake = Intake(
            self._present,
            self._statistics,
            self._notices,
            self._worker.put,
            topics={source: image.topic for source, image in images.items()},
            why_silent=lambda source: images[source].why_silent(),
        )
        self._inputs.look()
        self._worker.open()

    def _deactivate(self) -> None:
        """Take no more images in, keep the engine."""
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None
        if self._intake is not None:
            self._time_jumps += self._intake.jumps
            self._cameras = {source: self._intake.state(source).at_rest for source in Source}
            self._intake.close(self._farewell)
            self._intake = None
        if self._worker is not None and not self._worker.shut(self._patience, self._farewell):
            # Its result will not go out. Counted now, so that the counts balance.
            self._statistics.abandon(self._farewell)
        self._forget_destroyed()

    def _cleanup(self) -> None:
        """Free the engine and the publishers."""
        worker = self._worker
        # Not told to end while it can't: the node could then be activated, and do nothing.
        if worker is not None and not (
            worker.shut(JOIN_SECONDS, self._farewell) and worker.stop(JOIN_SECONDS)
        ):
            raise EngineError(
                self._present().engine.backend,
                'an inference does not end, so the engine can not be freed; try again later',
            )
        self._release()
        self._idle_worker = WorkerState()

    def _shut_down(self) -> None:
        self._farewell, self._patience = DropReason.SHUTDOWN, END_SECONDS
        self._release()

    def _release(self) -> None:
        self._deactivate()
        if self._worker is not None:
            self._idle_worker = WorkerState(engine=self._worker.engine)  # for the last words
            if not self._worker.stop(END_SECONDS):  # at once, unless it is in native code
                self._stuck.append(self._worker)
            self._worker = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        self._settings.withdraw(CLASSES)
        self._forget_destroyed()

    # ---- messages

    def _receive(self, source: Source, message: Any) -> None:
        intake = self._intake
        if intake is None:
            return  # deactivated between its arrival and now
        now, stamp = self.get_clock().now().nanoseconds, stamp_of(message)
        intake.receive(source, message, now - stamp if now and stamp else None)

    def _receive_info(self, source: Source, message: Any) -> None:
        intake, outputs = self._intake, self._outputs
        if intake is not None and outputs is not None:
            outputs.add_info(source, message)
            intake.info(source, message)

    def _look(self) -> None:
        """Look after the cameras, the subscribers and the engine."""
        inputs, intake, outputs = self._inputs, self._intake, self._outputs
        worker = self._worker
        if inputs is None or intake is None or outputs is None or worker is None:
            return
        inputs.look()
        outputs.look()
        intake.look()
        self._say_hang(worker)
        self._clock_lookout.look()
        failures, error = worker.failures_in_a_row, worker.last_error
        if worker.death:
            first = f'{self._command("cleanup")}, {self._command("configure")}, '
            self._give_up(worker.death, first)
        elif failures >= self._present().engine.max_failures:
            self._give_up(f'{failures} inferences in a row failed: {error}')

    def _give_up(self, why: str, first: str = '') -> None:
        """Deactivate the node of its own accord.

        Args:
            why: in words.
            first: commands that have to come before it is activated again.
        """
        self.trigger_deactivate()
        self._reason = f'deactivated itself, as {why}'
        text = f'{self._reason}. To try again: {first}{self._command("activate")}'
        self._notices.say(Level.ERROR, text)

    def _say_hang(self, worker: Worker) -> None:
        busy = worker.state(monotonic_ns()).busy / 1e9
        if busy > self._present().engine.timeout:
            text = f'an inference has taken {busy:.1f} s and has not ended; frames are dropped'
            self._notices.once(Level.ERROR, 'hang', text)
        else:
            self._notices.forget('hang')

    # ---- diagnostics

    def _report(self) -> None:
        self._diagnostics.publish(self._moment())

    def _moment(self) -> Moment:
        intake, worker, now = self._intake, self._worker, monotonic_ns()
        inputs = self._inputs
        images = inputs.images.values() if inputs else ()
        return Moment(
            when=now,
            state=self._state,
            reason=self._reason,
            counted=self._statistics.snapshot(),
            values=self._present(),
            cameras={s: intake.state(s) for s in Source} if intake else self._cameras,
            jumps=self._time_jumps + (intake.jumps if intake else 0),
            unpaired=intake.unpaired if intake else '',
            clock_difference=intake.clock_difference if intake else None,
            misfits=tuple(image.incompatible for image in images if image.incompatible),
            worker=worker.state(now) if worker else self._idle_worker,
        )

    # ---- the end

    def stop(self) -> bool:
        """Shut down from whichever state, and send the last diagnostics. May be called again.

        Returns:
            Whether the worker has ended; False where it is still in native code.
        """
        if self._state != 'finalized':
            self._finalize()
        if not self._diagnostics.done:
            if self.context.ok():
                self._diagnostics.publish(self._moment(), 'stopped')
            self._diagnostics.give_up()
            counted = self._statistics.snapshot()
            lost = ', '.join(f'{n} {reason}' for reason, n in counted.lost.items() if n)
            text = f'stopped: {counted.pairs} pairs, {counted.fused} fused'
            if alone := sum(counted.made.values()) - counted.pairs:
                text += f', {alone} frames of one camera alone'
            self._notices.say(Level.INFO, text + (f', dropped: {lost}' if lost else ''))
        return all(worker.stop(0.0) for worker in self._stuck)

    def destroy_node(self) -> None:
        """Stop, then destroy everything: the worker must not publish on what is gone."""
        if hasattr(self, '_diagnostics'):  # rclpy also destroys a node whose __init__ has failed
            self.stop()
        super().destroy_node()
