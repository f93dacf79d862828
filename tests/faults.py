"""Two cameras that go on in real time, and the node's services: what the fault tests share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_checks import SIZE, START, camera_pair
from ros_rig import Rig, image
from sensor_msgs.msg import CameraInfo, Image

RATE = 20  # Hz
STEP = 10**9 // RATE
# What a busy machine may add to a limit of the node's: to our sending, and to its timers.
SLACK = 1.0
LONG = 30.0  # seconds, for what has no limit
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
OK, WARN, ERROR = (bytes([level]) for level in range(3))
_TRANSITIONS = {
    'configure': Transition.TRANSITION_CONFIGURE,
    'cleanup': Transition.TRANSITION_CLEANUP,
    'activate': Transition.TRANSITION_ACTIVATE,
    'deactivate': Transition.TRANSITION_DEACTIVATE,
}


class Cameras:
    """Both cameras at `RATE`. Their clock goes on while nothing is sent, as a real one's does.

    Args:
        rig: whose publishers send.
        heat: makes the thermal picture of a number, noise up to 200 without it.
    """

    def __init__(self, rig: Rig, heat: Callable[[int], np.ndarray] | None = None) -> None:
        self._rig = rig
        self._began = time.monotonic()
        self._next = 0
        self.heat = heat or eight_bit
        self.color = lambda number: camera_pair(number)[0]
        self.thermal_skew = 0  # ns added to every thermal stamp
        self.clock = START  # stamp of number 0
        self.sent: dict[str, list[int]] = {'visible': [], 'thermal': []}  # numbers

    def stamp(self, number: int) -> int:
        return self.clock + number * STEP

    def until(
        self,
        condition: Callable[[], bool],
        timeout: float = LONG,
        which: Sequence[str] = ('visible', 'thermal'),
    ) -> None:
        """Send until something is true, and fail where it does not get true in time."""
        rig, end = self._rig, time.monotonic() + timeout
        while not condition():
            assert rig.process.poll() is None, f'the node has ended:\n{rig.text()}'
            assert time.monotonic() < end, f'waited {timeout} s in vain:\n{rig.text()}'
            self._send_due(which)

    def play(self, seconds: float, which: Sequence[str] = ('visible', 'thermal')) -> None:
        """Send for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._send_due(which, left)

    def one(self, heat: Callable[[int], np.ndarray]) -> int:
        """Send a single pair and wait until it has ended. Returns its stamp in ns."""
        before, end = self._rig.count('pairs.made'), time.monotonic() + LONG
        number = self._next = self._next + 1
        usual, self.heat = self.heat, heat
        self._rig.thermal.publish(self.message('thermal', number))
        self._rig.visible.publish(self.message('visible', number))
        self.heat = usual
        self._rig.until(
            lambda: (
                self._rig.count('pairs.made') > before and not self._rig.count('pairs.pending')
            ),
            end - time.monotonic(),
        )
        return self.stamp(number)

    def pairs(self, count: int) -> None:
        """Send so many pairs and wait until all of them have ended."""
        end = self._rig.count('pairs.made') + count
        self.until(lambda: self._rig.count('pairs.made') >= end)

    def message(self, camera: str, number: int) -> Image:
        if camera == 'visible':
            return image(self.color(number), self.stamp(number), 'rgb_optical')
        stamp = self.stamp(number) + self.thermal_skew
        return image(self.heat(number), stamp, 'thermal_optical')

    def _send_due(self, which: Sequence[str], limit: float = 1.0) -> None:
        now = (time.monotonic() - self._began) * RATE
        if now < self._next:
            self._rig.spin(min(limit, (self._next - now) / RATE))
            return
        number = int(now)  # what a pause has left out is left out
        self._next = number + 1
        for camera in which:
            message = self.message(camera, number)
            self.sent[camera].append(number)
            if camera == 'visible':
                size = {'height': message.height, 'width': message.width}
                self._rig.info.publish(CameraInfo(header=message.header, **size))
            getattr(self._rig, camera).publish(message)
        self._rig.spin(0.001)


class Remote:
    """The node's services, as `ros2 param set` and `ros2 lifecycle set` call them."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._clients = {
            kind: rig.node.create_client(kind, f'/fusion/{name}')
            for kind, name in (
                (SetParameters, 'set_parameters'),
                (ChangeState, 'change_state'),
                (GetState, 'get_state'),
            )
        }
        rig.until(lambda: all(client.service_is_ready() for client in self._clients.values()))

    def ask(self, name: str, value: object) -> Any:
        """Ask for a change of a parameter; returns the future answer."""
        request = SetParameters.Request()
        request.parameters = [Parameter(name, value=value).to_parameter_msg()]
        return self._clients[SetParameters].call_async(request)

    def set(self, name: str, value: object) -> tuple[bool, str]:
        """Change a parameter. Returns whether it was accepted and what was said."""
        future = self.ask(name, value)
        self._rig.until(future.done, LONG)
        result = future.result().results[0]
        return result.successful, result.reason

    def go(self, name: str) -> bool:
        """Ask for a transition. Returns whether it came about."""
        request = ChangeState.Request(transition=Transition(id=_TRANSITIONS[name]))
        future = self._clients[ChangeState].call_async(request)
        self._rig.until(future.done, LONG)
        return bool(future.result().success)

    def state(self) -> str:
        future = self._clients[GetState].call_async(GetState.Request())
        self._rig.until(future.done, LONG)
        return str(future.result().current_state.label)


def eight_bit(number: int) -> np.ndarray:
    """A thermal picture that no variant of tiny_model minds."""
    return camera_pair(number, top=200)[1].astype(np.uint8)


def hot(number: int) -> np.ndarray:
    """A thermal picture with a pixel of 255, which the variants of tiny_model stumble over."""
    picture = eight_bit(number)
    picture[0, 0] = 255
    return picture


def matched(rig: Rig) -> None:
    """Wait until the node has seen that the cameras are reliable, and subscribes likewise."""

    def is_reliable(topic: str) -> bool:
        infos = rig.node.get_subscriptions_info_by_topic(topic)
        return {i.qos_profile.reliability for i in infos} == {ReliabilityPolicy.RELIABLE}

    rig.until(lambda: is_reliable('/color/image_raw') and is_reliable('/thermal/image_raw'))
    both = (rig.visible, rig.thermal)
    rig.until(lambda: all(camera.get_subscription_count() == 1 for camera in both))
    rig.spin(0.3)


def listen(rig: Rig, kind: type, topic: str, **options: Any) -> list[Any]:
    """Subscribe to a further topic; returns the list that its messages go to."""
    got: list[Any] = []
    rig.node.create_subscription(kind, topic, got.append, options.pop('qos', 10), **options)
    return got


def stamps(messages: Sequence[Any]) -> list[int]:
    return [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in messages]


def level(rig: Rig) -> bytes:
    """Severity of the last diagnostics."""
    return bytes(rig.got['diagnostics'][-1].status[0].level)


def told(rig: Rig) -> str:
    """Message of the last diagnostics."""
    return str(rig.got['diagnostics'][-1].status[0].message)


def is_ok(rig: Rig) -> bool:
    return level(rig) == OK


def descriptors(rig: Rig) -> int:
    """How many files and sockets the node has open."""
    return len(list(Path(f'/proc/{rig.process.pid}/fd').iterdir()))


def filled(value: float, dtype: type) -> Callable[[int], np.ndarray]:
    """A thermal camera that sees one value everywhere."""
    return lambda number: np.full(SIZE, value, dtype)
