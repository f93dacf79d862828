"""Results as Rerun sees them: pictures, class annotations, latency plots (https://rerun.io).

The library is an optional extra, imported only here and only when a recording is opened. Entities:

    /cameras/rgb, /cameras/thermal      what went in, JPEG
    /result/fused, /result/overlay      what came out, JPEG
    /result/mask                        class ids, with names and colours of the classes
    /latency/STAGE, /rates/NAME,        scalars over time
    /skew, /agc/low, /agc/high, /areas/CLASS
    /log                                drops, and what the node says

Time is the timeline `stamp`, the stamps of the results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paif_ros.contract import ClassLabel
from paif_ros.engines.base import U8
from paif_ros.images.compressed import encode
from paif_ros.view.listening import StartError

APPLICATION = 'paif_ros'
TIMELINE = 'stamp'
VIEWER = 'rerun+http://127.0.0.1:9876/proxy'  # where `rerun` listens by default
PICTURES = {
    'rgb': 'cameras/rgb',
    'thermal': 'cameras/thermal',
    'fused': 'result/fused',
    'overlay': 'result/overlay',
}
MASK, LOG = 'result/mask', 'log'


@dataclass(frozen=True)
class Target:
    """Where a recording goes; one of both.

    Attributes:
        file: an .rrd file, None where it goes to a viewer.
        url: of a viewer, such as `VIEWER`.
    """

    file: Path | None = None
    url: str = VIEWER


class RerunLogger:
    """Writes one recording.

    Args:
        target: where it goes.
        recording: recordings of the same name are shown as one; '' for a new name.
        quality: of the JPEGs, 1 to 100.

    Raises:
        StartError: rerun-sdk is not installed, or the file can't be written.
    """

    def __init__(self, target: Target, recording: str = '', quality: int = 85) -> None:
        self._rerun = library()
        self._quality = quality
        self._stream = self._rerun.RecordingStream(APPLICATION, recording_id=recording or None)
        view = blueprint()
        if target.file is None:
            self._stream.connect_grpc(target.url, default_blueprint=view)
            return
        try:
            target.file.parent.mkdir(parents=True, exist_ok=True)
            self._stream.save(target.file, default_blueprint=view)
        except (OSError, RuntimeError) as err:
            raise StartError(str(target.file), f'can not be written: {err}') from err

    def classes(self, labels: Sequence[ClassLabel]) -> None:
        """Say what the ids of masks mean. The background is see-through: masks lie on pictures."""
        rr = self._rerun
        infos = [
            rr.AnnotationInfo(
                id=label.id, label=label.name, color=(*label.color, 255 * bool(label.id))
            )
            for label in labels
        ]
        self._stream.log(MASK, rr.AnnotationContext(infos), static=True)

    def at(self, nanoseconds: int) -> None:
        """Set the time of all that follows (ns since 1970)."""
        self._stream.set_time(TIMELINE, timestamp=np.datetime64(nanoseconds, 'ns'))

    def picture(self, name: str, pixels: U8) -> None:
        """Log a picture.

        Args:
            name: one of `PICTURES`.
            pixels: uint8 [H, W, 3] RGB or [H, W].
        """
        encoding = 'rgb8' if pixels.ndim == 3 else 'mono8'
        _, data = encode(pixels, encoding, 'jpeg', self._quality)
        image = self._rerun.EncodedImage(contents=data.tobytes(), media_type='image/jpeg')
        self._stream.log(PICTURES[name], image)

    def mask(self, ids: U8) -> None:
        """Log a mask, uint8 [H, W] of class ids."""
        self._stream.log(MASK, self._rerun.SegmentationImage(ids))

    def scalars(self, group: str, values: Mapping[str, float]) -> None:
        """Log numbers; NaN and infinities are left out.

        Args:
            group: the entity above them, such as 'latency'; '' for none.
            values: by name.
        """
        for name, value in values.items():
            if np.isfinite(value):
                path = f'{group}/{name}' if group else name
                self._stream.log(path, self._rerun.Scalars([float(value)]))

    def say(self, text: str, level: str = 'INFO') -> None:
        """Log a line of text; `level` is one of Rerun's, such as 'WARN'."""
        self._stream.log(LOG, self._rerun.TextLog(text, level=level))

    def close(self) -> None:
        """Write what is held back, and end."""
        self._stream.flush()
        self._stream.disconnect()


def library() -> Any:
    """Return the module `rerun`.

    Raises:
        StartError: rerun-sdk is not installed.
    """
    try:
        import rerun
    except ImportError as err:
        raise StartError('rerun', 'not in this Python; pip install rerun-sdk') from err
    return rerun


def blueprint() -> Any:
    """Return how a viewer lays it all out: pictures above, plots and log below."""
    import rerun.blueprint as rrb

    def picture(name: str, *paths: str) -> Any:
        return rrb.Spatial2DView(name=name, origin='/', contents=[f'/{path}' for path in paths])

    def plot(name: str) -> Any:
        return rrb.TimeSeriesView(name=name, origin='/', contents=[f'/{name}/**'])

    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(
                picture('RGB', PICTURES['rgb']),
                picture('thermal', PICTURES['thermal']),
                picture('fused', PICTURES['fused']),
                picture('fused and classes', PICTURES['fused'], MASK),
            ),
            rrb.Horizontal(
                plot('latency'),
                rrb.Tabs(plot('areas'), plot('rates'), plot('skew'), plot('agc')),
                rrb.TextLogView(name='log', origin=f'/{LOG}'),
            ),
            row_shares=[3, 2],
        ),
        collapse_panels=True,
    )
