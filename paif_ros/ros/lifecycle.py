"""A lifecycle node whose transitions say why they failed, and that can start itself.

rclpy swallows what a transition raises. Here an error on purpose (a PaifError) leaves the node in
the state it was in, any other error takes it back to unconfigured, and both are said.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from paif_ros.errors import PaifError
from paif_ros.monitoring.notices import Level, Notices


class ManagedNode(LifecycleNode):
    """Turns the callbacks of rclpy's lifecycle into five plain methods that may raise.

    Args:
        name: the node's name.
        stopping: True once the process is to end; asked by steps that take long.
        options: whatever else rclpy's LifecycleNode takes, such as `namespace`.
    """

    def __init__(self, name: str, stopping: Callable[[], bool], **options: Any) -> None:
        super().__init__(name, **options)
        self._stopping = stopping
        self._notices = Notices(self._log)
        self._state = 'unconfigured'
        self._reason = ''  # why it is in this state against its will
        self._start_timer: Any = None

    # ---- what a node does in a transition

    def _configure(self) -> None:
        """Get what the node needs to work."""

    def _activate(self) -> None:
        """Begin to work."""

    def _deactivate(self) -> None:
        """Cease to work. Also called where `_activate` failed or never was."""

    def _cleanup(self) -> None:
        """Let go of what `_configure` got."""

    def _release(self) -> None:
        """Let go of everything in whatever state, and do not raise."""

    def _shut_down(self) -> None:
        """Let go of everything for good."""
        self._release()

    # ---- rclpy's callbacks

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Get ready."""
        return self._attempt('configure', self._configure, 'inactive')

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to work; the lifecycle publishers publish from now on."""
        super().on_activate(state)
        result = self._attempt('activate', self._activate, 'active')
        if result != TransitionCallbackReturn.SUCCESS:
            super().on_deactivate(state)
            self._deactivate()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Cease to work, and stay ready."""
        super().on_deactivate(state)
        return self._attempt('deactivate', self._deactivate, 'inactive')

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything."""
        return self._attempt('cleanup', self._cleanup, 'unconfigured')

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything for good, from whichever state."""
        return self._attempt('shutdown', self._shut_down, 'finalized')

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of everything after a transition that went wrong in a way nobody thought of."""
        try:
            self._release()
        except Exception as err:  # there is no way back from here but a new process
            self._state = 'finalized'
            self._reason += f'; then {type(err).__name__}: {err}'
            self._notices.say(Level.FATAL, f'{self._reason}. Start the node again')
            return TransitionCallbackReturn.FAILURE
        self._state = 'unconfigured'
        return TransitionCallbackReturn.SUCCESS

    def _attempt(
        self, name: str, step: Callable[[], None], after: str
    ) -> TransitionCallbackReturn:
        before, self._reason = self._state, ''
        try:
            step()
        except PaifError as err:
            self._state, self._reason = before, str(err)
            level = Level.INFO if self._ending() else Level.ERROR
            self._notices.say(level, f'{name} failed, the node stays {before}: {err}')
            return TransitionCallbackReturn.FAILURE
        except Exception as err:
            self._reason = f'{name} broke: {type(err).__name__}: {err}'
            self._notices.say(Level.ERROR, self._reason)
            return TransitionCallbackReturn.ERROR
        self._state = after
        return TransitionCallbackReturn.SUCCESS

    def _LifecycleNodeMixin__change_state(  # noqa: N802 - rclpy's own private name
        self, transition_id: int
    ) -> TransitionCallbackReturn:
        """Answer a transition that is not possible now: in Jazzy's rclpy it ends the process."""
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)
        except RuntimeError as err:  # rclpy's RCLError has no public name
            self._reason = f'not possible while {self._state}: {" ".join(str(err).split())}'
            self._notices.say(Level.ERROR, self._reason)
            return TransitionCallbackReturn.ERROR

    def trigger_shutdown(self) -> TransitionCallbackReturn:
        """Shut down; an ERROR where that is not possible, as of the other transitions."""
        try:
            return super().trigger_shutdown()
        except RuntimeError as err:  # finalized already, or in the middle of a transition
            self._notices.say(Level.ERROR, f'not possible while {self._state}: {err}')
            return TransitionCallbackReturn.ERROR

    # ---- start and end

    def _start_soon(self) -> None:
        """Configure and activate as soon as an executor spins the node."""
        clock = Clock(clock_type=ClockType.STEADY_TIME)  # not /clock, which may stand still
        self._start_timer = self.create_timer(0.0, self._start, clock=clock)

    def _start(self) -> None:
        self.destroy_timer(self._start_timer)
        if self._state != 'unconfigured':
            return  # somebody was faster, and is in charge
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()
        if self._state != 'active' and not self._ending():
            self._notices.say(
                Level.FATAL,
                f'could not start: {self._reason}. Change that, then {self._command("configure")} '
                f'and {self._command("activate")}, or start again',
            )

    def _command(self, transition: str) -> str:
        return f'`ros2 lifecycle set {self.get_fully_qualified_name()} {transition}`'

    def _ending(self) -> bool:
        return self._stopping() or not self.context.ok()

    def _finalize(self) -> None:
        """Shut down from whichever state."""
        with suppress(RuntimeError):  # in the middle of an interrupted transition
            super().trigger_shutdown()
        if self._state != 'finalized':
            self._shut_down()
            self._state = 'finalized'

    def _forget_destroyed(self) -> None:
        """Drop what rclpy's callback group keeps of destroyed entities, 100 bytes of each."""
        entities = self.default_callback_group.entities
        entities.difference_update([entity for entity in tuple(entities) if entity() is None])

    def _log(self, level: Level, text: str) -> None:
        logger = self.get_logger()  # one line for each: rclpy ties a line to its first severity
        if level is Level.INFO:
            logger.info(text)
        elif level is Level.WARN:
            logger.warning(text)
        elif level is Level.ERROR:
            logger.error(text)
        else:
            logger.fatal(text)
