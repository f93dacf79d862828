"""Writes frames as a film: H.264 through imageio-ffmpeg, without it what OpenCV can."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


class Film:
    """A film that is written frame by frame.

    Args:
        path: of the file, .mp4.
        rate: frames per second.
        h264: whether to try H.264; None uses it where imageio-ffmpeg is installed.
    """

    def __init__(self, path: Path, rate: float, h264: bool | None = None) -> None:
        self._path, self._rate = path, rate
        self._h264 = _has_ffmpeg() if h264 is None else h264
        self._pipe: Generator[None, Any, None] | None = None
        self._writer: Any = None
        if not self._h264:
            text = 'imageio-ffmpeg is not installed: the film is MPEG-4 part 2 instead of H.264'
            print(f'{text}, which browsers do not play', file=sys.stderr)

    def __enter__(self) -> Film:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._writer is not None:
            self._writer.release()

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame.

        Args:
            frame: uint8 [H, W, 3] RGB, contiguous, even sides, all of one size.

        Raises:
            OSError: the file can't be written.
        """
        size = (frame.shape[1], frame.shape[0])
        if self._h264:
            if self._pipe is None:
                self._pipe = _open_pipe(self._path, self._rate, size)
            self._pipe.send(frame)
            return
        if self._writer is None:
            code = cv2.VideoWriter.fourcc(*'mp4v')
            self._writer = cv2.VideoWriter(str(self._path), code, self._rate, size)
            if not self._writer.isOpened():
                raise OSError(f'OpenCV can not write {self._path}')
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def _has_ffmpeg() -> bool:
    try:
        import imageio_ffmpeg

        return bool(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # RuntimeError: installed, but without a binary
        return False


def _open_pipe(path: Path, rate: float, size: tuple[int, int]) -> Generator[None, Any, None]:
    import imageio_ffmpeg

    pipe: Generator[None, Any, None] = imageio_ffmpeg.write_frames(
        str(path),
        size,
        fps=rate,
        codec='libx264',
        macro_block_size=2,
        quality=None,
        output_params=['-crf', '23', '-preset', 'veryfast', '-movflags', '+faststart'],
        ffmpeg_log_level='error',
    )
    pipe.send(None)  # starts it
    return pipe
