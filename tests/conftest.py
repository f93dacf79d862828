"""What several tests share: the repository on the path, small models, the table at the end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # plain `pytest` does not put it there
    sys.path.insert(0, str(ROOT))

import tiny_model
from shared_memory import pytest_sessionfinish
from what_ran import pytest_terminal_summary

__all__ = ['context', 'own_signals', 'pytest_sessionfinish', 'pytest_terminal_summary', 'tiny']


@pytest.fixture(scope='session')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 64x48 model."""
    return tiny_model.write(tmp_path_factory.mktemp('model') / 'tiny.onnx')


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """Put back the signal handlers that commands leave which a test calls as functions."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def context() -> Iterator[Any]:
    """A ROS context of the test's own, on a graph of our own."""
    import rclpy
    from ros_rig import environment

    os.environ.update(environment())
    context = rclpy.context.Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)
