"""Scores of an exported .onnx file, in the engine that the robot runs it in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from models.datasets.pair import LabelledPair
from models.evaluation.masks import Outcome, Tensors
from paif_ros.contract import ClassLabel
from paif_ros.engines import make_engine
from paif_ros.pictures.drawing import resize_mask, resize_picture


class Exported:
    """A loaded model file.

    Args:
        path: the .onnx file.
        threads: CPU threads, 0 for one per core.

    Raises:
        EngineError, EngineMismatch: the file can't be run, or breaks the contract.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self.engine = make_engine('onnxruntime', path, threads, 'cpu')
        self.card = self.engine.load().card

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """The labels of the mask."""
        return self.card.classes

    def outcomes(
        self, pairs: Sequence[LabelledPair], what: str | None = None
    ) -> Iterator[Outcome]:
        """Yield what the file makes of clean pairs; other sizes are resized as in the node."""
        for place, pair in enumerate(tqdm(pairs, desc=what, unit='pair', disable=not what)):
            size = self.card.input_size
            visible = resize_picture(pair.visible, size)
            found = self.engine.infer(visible, resize_picture(pair.thermal, size))
            rows, columns = pair.label.shape
            picture = resize_picture(found.fused, (rows, columns))
            fused = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
            t = Tensors.of([pair])
            yield Outcome(
                place,
                [pair],
                'none',
                t.thermal,
                t.visible,
                torch.from_numpy(np.asarray(fused, np.float32) / 255)[None, None],
                resize_mask(found.mask, (rows, columns))[None],
                len(self.classes),
                [picture],
            )
