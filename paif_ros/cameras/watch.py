"""Watches one camera: whether it has stopped, how fast it is, how many of its images get lost.

Large images get lost between processes where the middleware is not set up for them, and a lost
image leaves no trace but a gap in the stamps. A camera that pauses or exposes longer leaves gaps
too. The camera_info of each image tells: it is small and gets through, also where every second
image is lost and there is no gap to see.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median_low

from paif_ros.errors import ParameterError

_SECOND = 1_000_000_000
_WINDOW_NS = 5 * _SECOND  # what `rate` and `losing` look back on
_PAUSE_NS = 2 * _SECOND  # a longer step of stamps or silence is a stop or a jump, not a loss
_JUMP_NS = _SECOND  # a step back beyond which it is no frame out of order
_INTERVALS = 64
_AGREEING = 8  # equal intervals in a row that make a new rhythm, of a camera in low light say
_LAGS = 64
_LOST_SHARE = 0.1
_LEAST_LOST = 5  # fewer may be chance
_LEAST_GAPS = 3  # one is a pause of the camera or of a bag
_LEAST_INFOS = 10
_SHORT = 4  # intervals; of a longer step it can't be said whether it is a whole number of them
_TOLD = 'their camera_info came, so images are lost'
_UNTOLD = 'either the camera paused or images are lost'
_ODD_SHARE = 16  # one odd step in so many, and the camera keeps no rhythm to see losses by


@dataclass
class _Gap:
    """A step from stamp to stamp with room for images that did not come."""

    received: int  # monotonic ns, of the image after it
    begin: int  # stamp before it, later by a margin
    end: int  # stamp after it, earlier by a margin
    room: int  # images
    whole: bool  # a whole number of intervals, as losses leave
    apart: bool  # from the gap before; steps that all got longer are one
    told: int  # camera_infos from inside it: images that were taken


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
        self._long = False  # whether the step to it is a gap
        self._info_stamp = 0
        self._intervals: deque[int] = deque(maxlen=_INTERVALS)
        self._lags: deque[int] = deque(maxlen=_LAGS)
        self._images: deque[tuple[int, bool]] = deque()  # receipt, whether its step is odd
        self._infos: deque[tuple[int, int]] = deque()  # stamp, receipt
        self._gaps: deque[_Gap] = deque()  # of the window, judged for good when they leave it

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
        """How many images never came, by the gaps in the stamps, since the watch was made.

        Where camera_infos come, a gap without one is none: the camera took no image. Else gaps
        do not count while the steps between stamps are of many lengths. Gaps of the last five
        seconds may yet be judged otherwise.
        """
        return self._missed + sum(self._lost(self._gaps))

    @property
    def interval(self) -> int | None:
        """Usual step from stamp to stamp in ns, None until it is known."""
        intervals = list(self._intervals)
        if len(intervals) < _AGREEING:
            return None
        last = intervals[-_AGREEING:]
        if _agree(last):
            return sorted(last)[_AGREEING // 2]
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
        self._missed = self.missed
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
        odd = False
        if stamp > 0:
            odd = self._follow(stamp, received, silence)
            self._lags.append(received - stamp)
        self._images.append((received, odd))
        self._prune(received)

    def info(self, stamp: int, received: int) -> None:
        """Take note of a camera_info. Those with one stamp count once, whoever publishes them.

        Args:
            stamp: its stamp in ns, by the same clock as those of the images.
            received: monotonic ns.
        """
        if stamp <= 0 or stamp != self._info_stamp:
            self._info_stamp = stamp
            self._infos.append((stamp, received))
            for gap in self._gaps:
                gap.told += gap.begin < stamp < gap.end
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

        They do where more than a tenth of those of the last five seconds are missing in three
        gaps of the stamps or more, or came at less than nine tenths of the rate of their
        camera_infos. Without these a camera that pauses again and again looks the same.
        """
        self._prune(now)
        came = len(self._images)
        missed = sum(lost := self._lost(self._gaps))
        gaps = [gap for gap, count in zip(self._gaps, lost, strict=True) if count]
        apart = sum(gap.apart for gap in gaps)
        # Before some seconds have gone by it is not known whether a camera keeps a rhythm.
        judged = self._has_infos or (came and now - self._images[0][0] >= _PAUSE_NS)
        enough = judged and apart >= _LEAST_GAPS and missed >= _LEAST_LOST
        if enough and missed > _LOST_SHARE * (came + missed):
            return (
                f'{missed} of {came + missed} images of the last {_WINDOW_NS // _SECOND} s did '
                f'not come, by {len(gaps)} gaps between their stamps: '
                f'{_TOLD if self._has_infos else _UNTOLD}'
            )
        # Only over a full window of infos: the topics of a new camera are not found at once.
        infos = [received for _, received in self._infos]
        known = len(infos) >= _LEAST_INFOS and now - infos[0] > _WINDOW_NS * 9 // 10
        if known and came < (1 - _LOST_SHARE) * len(infos):
            images = f'images arrive at {self.rate(now):.1f} Hz' if came else 'no images arrive'
            return f'{images}, their camera_info at {_rate(infos, now):.1f} Hz'
        return None

    @property
    def _has_infos(self) -> bool:
        """Whether camera_infos with stamps come about as often as images."""
        return 2 * sum(stamp > 0 for stamp, _ in self._infos) >= max(len(self._images), 1)

    def _lost(self, gaps: Collection[_Gap]) -> list[int]:
        """Return how many images were lost in each gap, as far as can be said now."""
        if self._has_infos:
            return [min(gap.room, gap.told) for gap in gaps]
        odd = sum(odd for _, odd in self._images)
        rhythm = odd * _ODD_SHARE <= len(self._images)
        return [gap.room if gap.whole and rhythm else 0 for gap in gaps]

    def _follow(self, stamp: int, received: int, silence: int) -> bool:
        """Take note of a step and of a gap in it.

        Returns:
            Whether it is odd: no whole number of intervals, as a changing exposure makes.
        """
        last, self._stamp = self._stamp, stamp
        if last is None:
            return False
        step = stamp - last
        if -_JUMP_NS <= step <= 0:
            self._stamp = last
            for gap in self._gaps:  # it came out of order and was taken for lost meanwhile
                gap.room -= gap.room > 0 and gap.begin < stamp < gap.end
            return False
        pause = min(_PAUSE_NS, self._timeout)
        if step < 0 or max(step, silence) > pause:
            self._lags.clear()
            return False
        interval = self.interval
        self._intervals.append(step)
        if interval is None:
            return False
        whole = (2 * step + interval) // (2 * interval)
        odd = step <= _SHORT * interval and abs(step - whole * interval) > self._slack(interval)
        if 2 * step > 3 * interval:
            begin, end = last + interval // 4, stamp - interval // 4
            told = sum(begin < info < end for info, _ in self._infos)
            room = max(whole - 1, 1)
            self._gaps.append(_Gap(received, begin, end, room, not odd, not self._long, told))
        self._long = 2 * step > 3 * interval
        self._unsay(stamp)
        return odd

    def _slack(self, interval: int) -> int:
        """Return how far from a whole number of intervals jitter may bring a step."""
        off = [abs(step - interval) for step in self._intervals if 2 * step <= 3 * interval]
        return min(max(4 * sum(off) // max(len(off), 1), interval // 6), interval * 3 // 10)

    def _unsay(self, stamp: int) -> None:
        """Take back the gaps that turn out to be the steps of a new, slower rhythm."""
        steps = list(self._intervals)[-_AGREEING:]
        if not self._gaps or len(steps) < _AGREEING or not _agree(steps):
            return
        begin = stamp - sum(steps)
        for gap in self._gaps:
            if gap.begin > begin and not gap.told:
                gap.room = 0

    def _prune(self, now: int) -> None:
        begin = now - _WINDOW_NS
        while self._gaps and self._gaps[0].received < begin:
            self._missed += sum(self._lost([self._gaps.popleft()]))
        while self._images and self._images[0][0] < begin:
            self._images.popleft()
        while self._infos and self._infos[0][1] < begin:
            self._infos.popleft()


def _agree(steps: Sequence[int]) -> bool:
    """Whether steps are equal, but for jitter."""
    return max(steps) * 5 <= min(steps) * 6


def _rate(times: Sequence[int], now: int) -> float:
    """Return events per second, 0 of fewer than two."""
    if len(times) < 2:
        return 0.0
    span = times[-1] - times[0]
    usual = span // (len(times) - 1)
    # A silence of up to two intervals is not yet a slower rate.
    return (len(times) - 1) * 1e9 / max(span, now - times[0] - 2 * usual, 1)
