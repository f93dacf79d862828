"""The node between two cameras and a recorder, each its own process, over Fast DDS."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.end_to_end.figures import Trial, drops_of, later_of, spread_of
from benchmarks.end_to_end.lines import GraphError, Member
from demo.crew import graph_environment

START_SECONDS = 60.0
TAIL_SECONDS = 0.3  # for what is under way between the processes
WARM_UP = (20.0, 0.5)  # pairs a second and seconds: the pairer must know the cameras' rhythm


class Graph:
    """Starts everything on entering and ends it on leaving.

    Args:
        model: the exported file.
        size: one of `cameras.SIZES`.
        parameters: of the node, by name, such as {'engine.backend': 'openvino'}.
    """

    def __init__(self, model: Path, size: str, parameters: Mapping[str, str]) -> None:
        self._size = size
        self._settings = {
            'model_path': str(model.resolve()),
            'diagnostics.rate': '10.0',
            **parameters,
        }
        self._members: list[Member] = []
        self.diagnostics: dict[str, str] = {}

    def __enter__(self) -> Graph:
        environment = graph_environment()
        arguments = [
            part for item in self._settings.items() for part in ('-p', '{}:={}'.format(*item))
        ]
        try:
            for name, module, given in (
                ('node', 'paif_ros.node', ['--ros-args', *arguments]),
                ('recorder', 'benchmarks.end_to_end.recorder', []),
                ('cameras', 'benchmarks.end_to_end.cameras', [self._size]),
            ):
                self._members.append(Member(name, module, given, environment))
            self._node, self._recorder, self._cameras = self._members
            ready = self._recorder.wait(START_SECONDS, self._node)
            if not ready['ready']:
                raise GraphError(f'the node could not start: {ready["said"]}')
            self._cameras.wait(START_SECONDS, self._node)
            time.sleep(0.3)  # each must have seen the others' subscriptions
            self.diagnostics = ready['diagnostics']
            self.run(*WARM_UP)
        except BaseException:  # then __exit__ is not called
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        for member in reversed(self._members):
            member.end()

    @property
    def peak_mib(self) -> float:
        """Peak resident memory of the node so far."""
        lines = Path(f'/proc/{self._node.pid}/status').read_text('utf-8').splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith('VmHWM')) / 1024

    def run(self, rate: float, seconds: float) -> Trial:
        """Send pairs at a rate for a while and describe what came out.

        Raises:
            GraphError: a process failed.
        """
        load, busy, before = os.getloadavg()[0], self._processor_seconds(), self.diagnostics
        sent = self._cameras.ask({'rate': rate, 'seconds': seconds}, 3 * seconds + 20)
        time.sleep(TAIL_SECONDS)
        got: dict[str, Any] = self._recorder.ask({}, 20.0)
        busy = self._processor_seconds() - busy
        self.diagnostics = got['diagnostics']
        stamps = sent['stamps']
        ends = later_of(got['arrivals'], stamps)
        latency, jitter = spread_of(ends)
        # One interval more than lies between the first pair and the last.
        lasted = sent['seconds'] * len(stamps) / max(1, len(stamps) - 1) or 1 / rate
        return Trial(
            rate=rate,
            sent_rate=len(stamps) / lasted,
            sent=len(stamps),
            results=len(ends),
            result_rate=len(ends) / lasted,
            drops=drops_of(len(stamps), len(ends), before, self.diagnostics),
            latency_ms=latency,
            jitter_ms=jitter,
            node_cpu_ms=1e3 * busy / len(ends) if ends else float('nan'),
            late_p99_ms=sent['late_p99_ms'],
            load=load,
        )

    def _processor_seconds(self) -> float:
        fields = Path(f'/proc/{self._node.pid}/stat').read_text('utf-8').rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
