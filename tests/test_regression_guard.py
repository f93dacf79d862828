"""What a frame costs, counted and not timed, against figures that are committed.

Operations, bytes and nodes of the shipped graph, and calls of Python functions on the node's own
path. Whoever changes them on purpose writes the new figures with
`python -m benchmarks.guard --write`, and the difference shows in review.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from benchmarks.guard import FIGURES, Figures, grown, measure_calls, measure_graph


@pytest.fixture(scope='module')
def committed() -> Figures:
    return Figures(**json.loads(FIGURES.read_text('utf-8')))


def test_the_shipped_graph_does_no_more_than_it_did(committed: Figures) -> None:
    pytest.importorskip('onnx')
    found = replace(committed, **measure_graph())
    assert grown(committed, found) == []


def test_the_hot_path_calls_no_more_python_than_it_did(committed: Figures) -> None:
    pytest.importorskip('cv2')
    found = replace(committed, **measure_calls())
    assert grown(committed, found) == []


def test_growth_is_named(committed: Figures) -> None:
    for name, value in asdict(committed).items():
        (sentence,) = grown(committed, replace(committed, **{name: round(value * 1.1)}))
        assert sentence.startswith(name)
        assert 'benchmarks.guard --write' in sentence
        assert grown(committed, replace(committed, **{name: round(value * 0.9)})) == []
