"""How the processes of a benchmark talk: a line of JSON in, a line of JSON out.

Answers begin with `MARK`, since Fast DDS prints its warnings on standard output too.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from demo.crew import end_group

ROOT = Path(__file__).resolve().parents[2]
MARK = '@'


class GraphError(RuntimeError):
    """A process of the benchmark failed. The message says which, and what it printed last."""


def answer(facts: Mapping[str, Any]) -> None:
    """Print an answer, from within a member."""
    print(MARK + json.dumps(facts), flush=True)


def commands() -> Iterator[dict[str, Any]]:
    """Yield the commands that a member is given, until its standard input ends."""
    for line in sys.stdin:
        yield json.loads(line)


class Member:
    """A process of the benchmark.

    Args:
        name: for messages.
        module: what `python -m` runs.
        arguments: of its command line.
        environment: of the process.
    """

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._printed: deque[str] = deque(maxlen=15)
        self._process = subprocess.Popen(
            [sys.executable, '-m', module, *arguments],
            env=dict(environment),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C reaches us alone, we end the others in order
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def ask(self, command: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Give a command and wait for its answer.

        Raises:
            GraphError: the process has ended, or the time is up.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + '\n')
            self._process.stdin.flush()
        except BrokenPipeError as err:
            raise self._failure('has ended') from err
        return self.wait(timeout)

    def wait(self, timeout: float, *others: Member) -> dict[str, Any]:
        """Wait for the next answer.

        Args:
            timeout: seconds.
            others: members that must not end meanwhile.

        Raises:
            GraphError: it or another one has ended, or the time is up.
        """
        end = monotonic() + timeout
        while True:
            try:
                return self._answers.get(timeout=0.1)
            except queue.Empty:
                pass
            for member in (self, *others):
                if member._process.poll() is not None:
                    raise member._failure(f'has ended with code {member._process.returncode}')
            if monotonic() > end:
                raise self._failure(f'did not answer within {timeout:.0f} s')

    def end(self) -> None:
        """End the process: by the end of its input or SIGINT, else by stronger means."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        end_group(process)
        self._reader.join(1.0)
        process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):
                self._answers.put(json.loads(line[len(MARK) :]))
            else:
                self._printed.append(line)

    def _failure(self, what: str) -> GraphError:
        self._reader.join(0.3)
        said = ''.join(self._printed).strip()
        return GraphError(f'{self.name} {what}' + (f'. It printed:\n{said}' if said else ''))
