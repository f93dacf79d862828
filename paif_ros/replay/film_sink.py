"""Writes results as an MP4 (H.264), in parts that are joined at the end without encoding anew.

Every part is a fragmented MP4, so that what of it is on the disk plays, whatever becomes of the
process. Frames are shown at the times of their stamps.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from paif_ros.fusion.results import Wanted
from paif_ros.replay.mosaic import Mosaic
from paif_ros.replay.record import write_atomically
from paif_ros.replay.sinks import Beginning, Fused, QuietSink

FILM = 'video.mp4'
WORK = 'video_parts'
MS = Fraction(1, 1000)
USUAL = 33  # ms from frame to frame where stamps stand still or go back
LONGEST = 10_000  # ms that a frame is shown for at most, also where the recording pauses for hours
GROUP = 30  # frames from key frame to key frame
CODEC = {'crf': '20', 'preset': 'veryfast', 'bf': '0'}
FRAGMENTED = {'movflags': 'frag_keyframe+empty_moov+default_base_moof'}


class FilmSink(QuietSink):
    """Writes a mosaic of each result.

    Args:
        mosaic: which pictures, and where.
    """

    def __init__(self, mosaic: Mosaic) -> None:
        self._mosaic = mosaic
        self._folder = Path()
        self._part = 0
        self._size: tuple[int, int] | None = None  # of each picture, that of the first result
        self._container: Any = None
        self._stream: Any = None
        self._last: tuple[int, int] | None = None  # stamp in ns, time in the film in ms
        self._begun = 0  # time in the film at which the part begins, ms

    @property
    def wanted(self) -> Wanted:
        """The pictures of the mosaic."""
        return self._mosaic.wanted

    @property
    def outputs(self) -> Mapping[str, str]:
        """The film; until its parts are joined, their folder."""
        return {'video': WORK if (self._folder / WORK).is_dir() else FILM}

    def begin(self, beginning: Beginning) -> None:
        """Make the folder of the parts, and throw away what is not before this part."""
        self._folder = beginning.folder
        self._part = beginning.part
        work = self._folder / WORK
        work.mkdir(parents=True, exist_ok=True)
        for path in work.iterdir():
            if int(path.name.partition('.')[0]) >= self._part:
                path.unlink()
        notes = sorted(work.glob('*.json'))
        if notes:
            note = json.loads(notes[-1].read_text('utf-8'))
            self._last = (note['stamp'], note['time'])
            self._size = (note['height'], note['width'])

    def take(self, fused: Fused) -> None:
        """Add a frame."""
        import av

        if self._size is None:
            self._size = fused.result.size
        frame = self._mosaic.draw(fused.result, self._size)
        time = self._time(fused.row.stamp_ns)
        if self._container is None:
            self._open(time, frame.shape[:2])
        picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
        picture.pts, picture.time_base = time - self._begun, MS
        for packet in self._stream.encode(picture):
            self._container.mux(packet)
        self._last = (fused.row.stamp_ns, time)

    def checkpoint(self) -> None:
        """Close the present part."""
        if self._container is not None:
            for packet in self._stream.encode():
                self._container.mux(packet)
            self._container.close()
            self._container = self._stream = None
            assert self._last is not None
            assert self._size is not None
            note = {
                'begun': self._begun,
                'stamp': self._last[0],
                'time': self._last[1],
                'height': self._size[0],
                'width': self._size[1],
            }
            write_atomically(self._folder / WORK / f'{self._part:05}.json', json.dumps(note))
        self._part += 1

    def finish(self) -> None:
        """Join the parts."""
        join_films(self._folder / WORK, self._folder / FILM)

    def close(self) -> None:
        """Close the part that is being written; what of it is on the disk plays."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def _time(self, stamp: int) -> int:
        """Return the time in the film of a stamp, in ms; later than the last one."""
        if self._last is None:
            return 0
        step = round((stamp - self._last[0]) / 1e6)
        return self._last[1] + (USUAL if step < 1 else min(step, LONGEST))

    def _open(self, time: int, size: tuple[int, int]) -> None:
        import av

        path = self._folder / WORK / f'{self._part:05}.mp4'
        self._begun = time
        self._container = av.open(str(path), 'w', format='mp4', options=FRAGMENTED)
        stream: Any = self._container.add_stream('libx264', rate=30, options=CODEC)
        stream.height, stream.width = size
        stream.pix_fmt = 'yuv420p'
        stream.time_base = stream.codec_context.time_base = MS
        stream.codec_context.gop_size = GROUP
        self._stream = stream


def join_films(work: Path, film: Path) -> None:
    """Join the parts in a folder to one film, and remove the folder.

    Args:
        work: folder of the parts N.mp4, each with N.json beside it, which says when it begins.
        film: file to write. Nothing is written where there are no parts.
    """
    import av

    notes = sorted(work.glob('*.json'))
    if notes:
        beside = film.with_name(f'.{film.name}.tmp')
        with av.open(str(beside), 'w', format='mp4', options={'movflags': 'faststart'}) as joined:
            out: Any = None
            for note in notes:
                begun = Fraction(json.loads(note.read_text('utf-8'))['begun'], 1000)
                with av.open(str(note.with_suffix('.mp4'))) as part:
                    source = part.streams.video[0]
                    if out is None:
                        out = joined.add_stream_from_template(source)
                    for packet in part.demux(source):
                        if packet.pts is None or packet.dts is None:
                            continue  # the end of the part
                        assert packet.time_base is not None
                        shift = round(begun / packet.time_base)
                        packet.pts += shift
                        packet.dts += shift
                        packet.stream = out
                        joined.mux(packet)
        beside.replace(film)
    shutil.rmtree(work, ignore_errors=True)
