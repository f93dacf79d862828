"""The fusion node: two cameras in, fused pictures and masks out, on a ROS 2 graph.

The executor's thread only pairs frames and leaves the newest pair in a mailbox of one slot. A
worker thread takes it from there, so a slow network delays nothing but itself and latency can't
build up. No input stops the node: whatever fails is counted, said at most every few seconds, and
the next pair goes on.
"""

from __future__ import annotations

if __name__ == '__main__':
    # Here, so that signals are handled before the slow imports below.
    from paif_ros.main import main

    main()

import threading
from dataclasses import dataclass
from functools import partial
from time import monotonic_ns
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from paif_ros.accounting import DropReason, Source
from paif_ros.codec import check
from paif_ros.diagnostics import Moment, status
from paif_ros.engines import EngineInfo, make_engine
from paif_ros.errors import EngineError, ImageFormatError, PaifError
from paif_ros.mailbox import Mailbox
from paif_ros.pairing import Frame, Pair, Pairer
from paif_ros.pipeline import Pipeline, Settings
from paif_ros.ros_outputs import CameraInfos, OutputTopics
from paif_ros.ros_parameters import NodeParameters
from paif_ros.statistics import StageTimes, Statistics
from paif_ros.thermal import PercentileRange

JOIN_SECONDS = 1.0  # how long a stop waits for the pair in work; two seconds are promised in all
NO_PAIR_NS = 2 * 10**9
MANY = 30  # frames of each camera before it is said that most of them find no partner
LOST = (
    'The defaults of Fast DDS lose large images between processes: use config/fastdds_shm.xml in '
    'this process and in the camera driver'
)
THROTTLE_SECONDS = 5.0
TOPICS = {Source.VISIBLE: 'color/image_raw', Source.THERMAL: 'thermal/image_raw'}


@dataclass(frozen=True)
class _Job:
    """A pair on its way to the worker, and the monotonic nanoseconds when it was made."""

    pair: Pair[Image]
    made: int


class FusionNode(Node):
    """Subscribes, pairs, hands over to the worker, reports.

    Args:
        name: the node's name.
        options: whatever else rclpy's Node takes, such as `namespace` or `parameter_overrides`.

    Raises:
        PaifError: a parameter is not allowed, or no engine suits the model file.
    """

    def __init__(self, name: str = 'fusion', **options: Any) -> None:
        super().__init__(name, **options)
        self._settings = NodeParameters(self)
        start = self._settings.current
        engine = start.engine
        self._pipeline = Pipeline(
            make_engine(engine.backend, start.model_path, engine.threads, engine.provider)
        )
        self._engine: EngineInfo | None = None  # set by the worker once loaded
        self.failure: PaifError | None = None  # set by the worker if it can't load

        self._statistics = Statistics()
        self._pairer: Pairer[Image] = Pairer(
            round(start.sync.slop * 1e9),
            start.sync.queue_size,
            lambda frame, reason: self._statistics.frame_dropped(frame.source, reason),
        )
        self._mailbox: Mailbox[_Job] = Mailbox()
        self._stopping = False
        self._infos = CameraInfos()
        self._outputs = OutputTopics(self, start.output.queue_size)
        self._first_frame: int | None = None

        for source, topic in TOPICS.items():
            self.create_subscription(
                Image, topic, partial(self._receive, source), qos_profile_sensor_data
            )
        self.create_subscription(
            CameraInfo, 'color/camera_info', self._infos.add, qos_profile_sensor_data
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._reported = self._count()
        self.create_timer(
            1.0 / start.diagnostics.rate,
            self._report,
            # Reports even while /clock stands still.
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        # A daemon, so that a network stuck in native code can't keep the process alive.
        self._worker = threading.Thread(target=self._work, name='worker', daemon=True)
        self._worker.start()

    # ---- executor's thread

    def _receive(self, source: Source, image: Image) -> None:
        received = monotonic_ns()
        stamp = image.header.stamp.sec * 10**9 + image.header.stamp.nanosec
        self._first_frame = self._first_frame or received
        self._statistics.frame_received(source)
        try:
            check(image)  # here, so that it takes neither a partner nor the place of a good pair
        except ImageFormatError as err:
            self._statistics.frame_dropped(source, DropReason.MALFORMED)
            self.get_logger().warning(
                f'{source} image dropped: {err}', throttle_duration_sec=THROTTLE_SECONDS
            )
            return
        for pair in self._pairer.push(Frame(source, stamp, received, image)):
            self._statistics.pair_made(pair.skew)
            if self._mailbox.put(_Job(pair, monotonic_ns())) is not None:
                self._statistics.pair_lost(DropReason.SUPERSEDED)

    def _report(self) -> None:
        self._warn_without_pairs()
        if self._engine is not None:
            self._publish_diagnostics(self._engine)

    def _publish_diagnostics(self, engine: EngineInfo, last_words: str = '') -> None:
        now = self._count()
        state = status(now, self._reported, engine)
        self._reported = now
        ok = state.ok or bool(last_words)
        message = DiagnosticArray(
            status=[
                DiagnosticStatus(
                    level=DiagnosticStatus.OK if ok else DiagnosticStatus.WARN,
                    name=f'{self.get_fully_qualified_name()}: fusion',
                    message=last_words or state.message,
                    hardware_id=engine.provider,
                    values=[KeyValue(key=key, value=value) for key, value in state.values],
                )
            ]
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _count(self) -> Moment:
        waiting = {source: self._pairer.pending(source) for source in Source}
        return Moment(monotonic_ns(), waiting, self._statistics.snapshot())

    def _warn_without_pairs(self) -> None:
        """Say once why frames arrive and nothing, or little, comes out."""
        waited = self._first_frame is not None and monotonic_ns() - self._first_frame > NO_PAIR_NS
        counted = self._statistics.snapshot()
        frames = counted.frames
        unread, lone = (
            [frames.dropped[source].get(reason, 0) for source in Source]
            for reason in (DropReason.MALFORMED, DropReason.NO_PARTNER)
        )
        received = [frames.received[source] for source in Source]
        if not waited or any(n == bad > 0 for n, bad in zip(received, unread, strict=True)):
            return  # a camera of which no image can be read was named already
        if counted.pairs:
            # Of cameras with unequal rates the slower one finds partners: here neither does.
            if all(n >= MANY and 2 * few > n for n, few in zip(received, lone, strict=True)):
                self.get_logger().warning(
                    'most frames of both cameras find no partner. Either their stamps differ by '
                    f'more than sync.slop, {self._settings.current.sync.slop} s, or images are '
                    f'lost on the way here: {LOST}',
                    once=True,
                )
            return
        silent = [topic for source, topic in TOPICS.items() if not frames.received[source]]
        if silent:
            text = (
                f'no frames on {self.resolve_topic_name(silent[0])}: check that it is published. '
                + LOST
            )
        elif skews := sorted(abs(skew) / 1e9 for skew in self._pairer.last_skews):
            text = (
                f'both cameras send but no frames pair: their stamps differ by {skews[0]:.3f} to '
                f'{skews[-1]:.3f} s, sync.slop is {self._settings.current.sync.slop} s. Raise it '
                'or set the clocks'
            )
        else:
            dropped = {why for reasons in frames.dropped.values() for why in reasons}
            text = (
                'both cameras send but no frames can be compared '
                f'({", ".join(sorted(dropped)) or "none yet"}): see that their drivers set '
                'header.stamp'
            )
        self.get_logger().warning(text, once=True)

    # ---- worker's thread

    def _work(self) -> None:
        if not self._load():
            return
        while not self._mailbox.closed:
            job = self._mailbox.get(timeout=1.0)
            if job is None:
                continue
            try:
                self._fuse(job)
            except ImageFormatError as err:
                self._statistics.pair_lost(DropReason.MALFORMED)
                self.get_logger().warning(
                    f'pair dropped: {err}', throttle_duration_sec=THROTTLE_SECONDS
                )
            except Exception as err:  # the next pair may do better, whatever this was
                self._statistics.pair_lost(DropReason.ENGINE_ERROR)
                self.get_logger().error(
                    f'pair dropped: {type(err).__name__}: {err}',
                    throttle_duration_sec=THROTTLE_SECONDS,
                )
        self._pipeline.close()

    def _load(self) -> bool:
        start = self._settings.current.engine
        try:
            info = self._pipeline.load()
        except Exception as err:  # whatever it is, the node must not stay up without a network
            failure = (
                err
                if isinstance(err, PaifError)
                else EngineError(start.backend, f'loading failed: {type(err).__name__}: {err}')
            )
            self.get_logger().fatal(str(failure))
            self.failure = failure
            return False
        card = info.card
        self.get_logger().info(
            f'ready: {card.network} {card.variant} at {card.input_size[1]}x{card.input_size[0]} '
            f'with {len(card.classes)} classes on {info.backend} {info.provider} ({info.reason})'
        )
        self._engine = info
        return True

    def _fuse(self, job: _Job) -> None:
        taken = monotonic_ns()
        wanted = self._outputs.wanted()
        if wanted is None:
            self._statistics.pair_lost(DropReason.NO_SUBSCRIBER)
            return
        pair, values = job.pair, self._settings.current
        thermal = values.thermal
        settings = Settings(
            PercentileRange(thermal.low_percentile, thermal.high_percentile, thermal.min_span),
            values.overlay.alpha,
        )
        visible = pair.visible.payload
        result = self._pipeline.run(visible, pair.thermal.payload, wanted, settings)
        computed = monotonic_ns()
        info = self._infos.find(visible.header)
        outgoing = self._outputs.pack(visible.header, result, info)
        packed = monotonic_ns()
        if self._stopping or not self.context.ok():
            return  # `stop` counts it
        for publisher, message in outgoing:
            publisher.publish(message)
        done = monotonic_ns()
        times = StageTimes(
            pairing=job.made - pair.received,
            waiting=taken - job.made,
            decode=result.decode,
            inference=result.inference,
            convert=result.convert + packed - computed,
            publish=done - packed,
            total=done - pair.received,
        )
        self._statistics.pair_fused(times)

    # ---- the end

    def stop(self) -> bool:
        """Stop the worker, count what is left, send the last diagnostics. May be called again.

        Returns:
            Whether the worker has ended; False where it is still in native code.
        """
        if self._stopping:
            return not self._worker.is_alive()
        self._stopping = True
        self._mailbox.close()
        self._worker.join(JOIN_SECONDS)
        self._pairer.flush(DropReason.SHUTDOWN)
        self._statistics.close()
        if self._engine is not None and self.context.ok():
            self._publish_diagnostics(self._engine, 'stopped')
            self._diagnostics.wait_for_all_acked(Duration(seconds=0.3))
        counted = self._statistics.snapshot()
        lost = ', '.join(f'{n} {reason}' for reason, n in counted.lost.items() if n)
        self.get_logger().info(
            f'stopped: {counted.pairs} pairs, {counted.frames.paired} fused'
            + (f', dropped: {lost}' if lost else '')
        )
        return not self._worker.is_alive()

    def destroy_node(self) -> None:
        """Stop, then destroy everything: the worker must not publish on what is gone."""
        if hasattr(self, '_worker'):  # rclpy also destroys a node whose __init__ has failed
            self.stop()
        super().destroy_node()
