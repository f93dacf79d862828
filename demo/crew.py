"""Processes that end together: whatever happens, none is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from paif_ros.fastdds import profile_environment

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = ((signal.SIGINT, 6.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))
DOMAINS = range(20, 100)  # those whose ports stay below what Linux hands out to others


class CrewError(RuntimeError):
    """A process of the demo failed. The message says which, and the end of what it printed."""


def graph_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a graph of our own, on this machine only.

    Args:
        environ: the user's environment; a chosen DDS profile in it is kept.
    """
    return {
        **environ,
        **profile_environment(ROOT / 'config' / 'fastdds_shm.xml', environ),
        'PYTHONPATH': os.pathsep.join(filter(None, (str(ROOT), environ.get('PYTHONPATH', '')))),
        'ROS_DOMAIN_ID': str(free_domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'RCUTILS_COLORIZED_OUTPUT': '0',
        'PYTHONUNBUFFERED': '1',
    }


def free_domain() -> int:
    """Return a ROS domain that no process of this machine uses, so that no robot is disturbed."""
    shift = os.getpid() % len(DOMAINS)  # demos that start together look at different ones first
    for domain in (*DOMAINS[shift:], *DOMAINS[:shift]):
        base = (
            7400 + 250 * domain
        )  # the RTPS standard's ports: discovery, then two per participant
        if all(_free(base + offset) for offset in (0, 10, 11, 12, 13)):
            return domain
    raise CrewError(f'every ROS domain from {DOMAINS[0]} to {DOMAINS[-1]} is in use here')


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(('', port))
        except OSError:
            return False
    return True


def end_group(process: subprocess.Popen[Any]) -> None:
    """End a process and its group: by SIGINT, and if it does not listen, by stronger means."""
    for number, patience in PATIENCE:
        if process.poll() is not None:
            break
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


class Crew:
    """Starts processes, and ends all of them on leaving.

    Args:
        logs: folder for what they print, NAME.log each.
        environment: of all of them.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in list(self._running):
            self.end(name)

    def start(self, name: str, module: str, arguments: Sequence[str], loud: bool = False) -> None:
        """Start `python -m module arguments`.

        Args:
            name: of the process, and of its log.
            module: to run.
            arguments: of the command line.
            loud: whether stderr goes to the terminal instead of the log.
        """
        with (self._logs / f'{name}.log').open('wb') as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, '-m', module, *arguments],
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=None if loud else subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone, we end the others in order
            )

    def wait(self, name: str, timeout: float) -> None:
        """Wait for a process to end by itself with code 0, and watch the others meanwhile.

        Raises:
            CrewError: it or another one failed, or the time was up.
        """
        end = time.monotonic() + timeout
        while (code := self._running[name].poll()) is None:
            for other, process in self._running.items():
                if other != name and process.poll() is not None:
                    raise self._failure(other, f'ended early with code {process.returncode}')
            if time.monotonic() > end:
                raise self._failure(name, f'was not done after {timeout:.0f} s')
            time.sleep(0.05)
        if code != 0:
            raise self._failure(name, f'ended with code {code}')

    def end(self, name: str) -> int:
        """End a process: by SIGINT, and if it does not listen, by stronger means.

        Returns:
            Its exit code, 0 or more when it ended in order.
        """
        process = self._running.pop(name)
        end_group(process)
        return process.wait(1.0)

    def _failure(self, name: str, what: str) -> CrewError:
        log = self._logs / f'{name}.log'
        lines = log.read_text(errors='replace').splitlines()[-12:]
        said = '\n  '.join(lines) or '(it printed nothing)'
        return CrewError(f'{name} {what}. The end of {log}:\n  {said}')
