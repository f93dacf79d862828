"""Keeps what TensorRT says, so that an error can be told in its words."""

from __future__ import annotations

import threading
from typing import Any

KEPT = 50  # it may repeat itself without end


def make_logger(module: Any) -> Any:
    """Return a logger for a library: `errors` and `warnings` are lists of what it said."""

    class Messages(module.ILogger):  # type: ignore[misc, name-defined]
        """Called from any thread of TensorRT's."""

        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []
            self.lock = threading.Lock()

        def log(self, severity: Any, msg: str) -> None:
            if severity in (module.ILogger.ERROR, module.ILogger.INTERNAL_ERROR):
                kept = self.errors
            elif severity == module.ILogger.WARNING:
                kept = self.warnings
            else:
                return
            with self.lock:
                if len(kept) < KEPT:
                    kept.append(str(msg))

    return Messages()
