"""Watches one camera: whether it has stopped, how fast it is, how many of its images get lost.

Large images get lost between processes where the middleware is not set up for them, and a lost
image leaves no trace but a gap in the stamps. Where every second one is lost there is no gap to
see either; but the camera_info of each image is small and gets through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median_low

from paif_ros.errors import ParameterError

_SECOND = 1_000_000_000
_WINDOW_NS = 5 * _SECOND  # what `rate` and `losing` look back on
_PAUSE_NS = 2 * _SECOND  # a longer step of stamps or silence is a stop or a jump, not a loss
_JUMP_NS = _SECOND  # a step back beyond which it is no frame out of order
_INTERVALS = 32
_AGREEING = 8  # equal intervals in a row that make a new rhythm, of a camera in low light say
_LAGS = 64
_LOST_SHARE = 0.1
_LEAST_LOST = 5  # fewer may be chance
_LEAST_INFOS = 10


class CameraWatch:
    """Follows the images and camera_infos of one camera. Belongs to one thread.

    Times of receipt are monotonic, all times are in ns.

    Args:
        timeout: silence after which the camera counts as stopped, above 0.

    Raises:
        ParameterError: timeout is not above 0.
    """

    def __init__(self, timeout: int) -> None:
        self.timeout = timeout
        self._missed = 0
        self._forget()

    def _forget(self) -> None:
        self._expected: int | None = None  # when the present silence began
        self._stamp: int | None = None  # newest
        self._info_stamp = 0
        self._intervals: deque[int] = deque(maxlen=_INTERVALS)
        self._lags: deque[int] = deque(maxlen=_LAGS)
        self._images: deque[tuple[int, int]] = deque()  # receipt, how many are missing before it
        self._infos: deque[int] = deque()  # receipt

    @property
    def timeout(self) -> int:
        """Silence in ns after which the camera counts as stopped.

        Raises:
            ParameterError: it is set to 0 or below.
        """
        return self._timeout

    @timeout.setter
    def timeout(self, value: int) -> None:
        if value <= 0:
            raise ParameterError('timeout', value, 'above 0')
        self._timeout = value

    @property
    def missed(self) -> int:
        """How many images never came, by the gaps in the stamps, since the watch was made."""
        return self._missed

    @property
    def interval(self) -> int | None:
        """Usual step from stamp to stamp in ns, None until it is known."""
        intervals = list(self._intervals)
        if len(intervals) < _AGREEING:
            return None
        last = sorted(intervals[-_AGREEING:])
        if last[-1] * 5 <= last[0] * 6:
            return last[_AGREEING // 2]
        # Where images are lost many steps are too long, none is too short: the middle of those
        # that are not.
        ordered = sorted(intervals)
        single = [step for step in ordered if 2 * step <= 3 * ordered[len(ordered) // 8]]
        return single[len(single) // 2]

    @property
    def lag(self) -> int | None:
        """Median of receipt minus stamp of the last frames in ns, None without frames.

        The two are of different clocks, so only the difference of two cameras' lags means
        something.
        """
        return median_low(self._lags) if self._lags else None

    def start(self, now: int) -> None:
        """Begin to expect frames, and forget the rhythm of earlier ones."""
        self._forget()
        self._expected = now

    def set_clock(self) -> None:
        """Take the next stamps for those of another clock, as after a change of their offset.

        The step between the two is then no gap. Silence and rate go on.
        """
        self._stamp = None
        self._lags.clear()

    def frame(self, stamp: int, received: int) -> None:
        """Take note of an image.

        Args:
            stamp: when it was taken, in ns of the camera driver's clock; 0 or less if not known.
            received: monotonic ns.
        """
        silence = self.silent_for(received) or 0
        self._expected = received
        missed = 0
        if stamp > 0:
            missed = self._follow(stamp, silence)
            self._lags.append(received - stamp)
        self._missed += missed
        self._images.append((received, missed))
        self._prune(received)

    def info(self, stamp: int, received: int) -> None:
        """Take note of a camera_info. Those with one stamp count once, whoever publishes them.

        Args:
            stamp: its stamp in ns.
            received: monotonic ns.
        """
        if stamp <= 0 or stamp != self._info_stamp:
            self._info_stamp = stamp
            self._infos.append(received)
            self._prune(received)

    def silent_for(self, now: int) -> int | None:
        """Return the ns since the last image or, before the first one, since `start`.

        None where neither has been.
        """
        return None if self._expected is None else now - self._expected

    def stopped(self, now: int) -> bool:
        """Whether no image has come for the timeout, be it the first one."""
        silence = self.silent_for(now)
        return silence is not None and silence >= self._timeout

    def rate(self, now: int) -> float:
        """Return how many images per second came within the last five seconds."""
        self._prune(now)
        return _rate([received for received, _ in self._images], now)

    def losing(self, now: int) -> str | None:
        """Say with figures that images get lost, None where they don't.

        They do where more than a tenth of those of the last five seconds are missing by their
        stamps, or came at less than nine tenths of the rate of their camera_infos.
        """
        self._prune(now)
        came = len(self._images)
        missed = sum(missed for _, missed in self._images)
        if missed >= _LEAST_LOST and missed > _LOST_SHARE * (came + missed):
            return (
                f'{missed} of {came + missed} images of the last {_WINDOW_NS // _SECOND} s are '
                'missing, by the gaps between their stamps'
            )
        # Only over a full window of infos: the topics of a new camera are not found at once.
        infos = len(self._infos)
        known = infos >= _LEAST_INFOS and now - self._infos[0] > _WINDOW_NS * 9 // 10
        if known and came < (1 - _LOST_SHARE) * infos:
            images = f'images arrive at {self.rate(now):.1f} Hz' if came else 'no images arrive'
            return f'{images}, their camera_info at {_rate(self._infos, now):.1f} Hz'
        return None

    def _follow(self, stamp: int, silence: int) -> int:
        """Return how many images are missing before this one."""
        last, self._stamp = self._stamp, stamp
        if last is None:
            return 0
        step = stamp - last
        if -_JUMP_NS <= step <= 0:
            self._stamp = last
            # One that is out of order was taken for missing when the one after it came.
            return -1 if step < 0 < self._missed else 0
        pause = min(_PAUSE_NS, self._timeout)
        if step < 0 or max(step, silence) > pause:
            self._lags.clear()
            return 0
        interval = self.interval
        self._intervals.append(step)
        if interval is None or 2 * step <= 3 * interval:
            return 0
        return (2 * step + interval) // (2 * interval) - 1

    def _prune(self, now: int) -> None:
        while self._images and self._images[0][0] < now - _WINDOW_NS:
            self._images.popleft()
        while self._infos and self._infos[0] < now - _WINDOW_NS:
            self._infos.popleft()


def _rate(times: Sequence[int], now: int) -> float:
    """Return events per second, 0 of fewer than two."""
    if len(times) < 2:
        return 0.0
    span = times[-1] - times[0]
    usual = span // (len(times) - 1)
    # A silence of up to two intervals is not yet a slower rate.
    return (len(times) - 1) * 1e9 / max(span, now - times[0] - 2 * usual, 1)
