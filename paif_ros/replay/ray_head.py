"""Ray's own processes on this machine: started by Ray's own command, ended with ours.

`ray.init` can start them too, but then its raylet gives up where an agent has not told its ports
within 15 seconds, and on a busy machine it has not (ray-project/ray#65983). Who is given ports
need not tell them, and `ray start` is where they can be given.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from paif_ros.errors import PaifError

PORTS = (
    'port',
    'metrics-export-port',
    'dashboard-agent-grpc-port',
    'dashboard-agent-listen-port',
    'runtime-env-agent-port',
)
# Ray's other limits of its start that can be set: as long as a busy machine may take.
PATIENCE = {
    'RAY_agent_register_timeout_ms': '300000',
    'RAY_worker_register_timeout_seconds': '300',
}
LOG = 'start.log'
STARTS = 5
END_SECONDS = 30.0
# Linux then ends it with us, even where we are killed. 1 is PR_SET_PDEATHSIG, 15 is SIGTERM.
WITH_US = """
import ctypes, os, sys
if sys.platform == 'linux':
    ctypes.CDLL(None).prctl(1, 15)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class RayHead:
    """A Ray cluster of this machine alone, in a folder of its own.

    Args:
        workers: tasks of one CPU at once.

    Attributes:
        options: with which `ray.init` connects to it. It takes a while until that works.

    Raises:
        OSError: it can't be started.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._folder = Path(tempfile.mkdtemp(prefix='paif_ray_'))  # short: sockets lie in it
        self.options: dict[str, Any] = {'address': 'auto', '_temp_dir': str(self._folder)}
        # Ray listens in the network; nobody else there is to give it work. For us and for it.
        os.environ.setdefault('RAY_AUTH_TOKEN', secrets.token_hex(32))
        self._starts = 0
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._starts += 1
        ports = zip(PORTS, free_ports(len(PORTS)), strict=True)
        command = [
            *(sys.executable, '-c', WITH_US),
            *('-m', 'ray.scripts.scripts', 'start', '--head', '--block', '--disable-usage-stats'),
            *(f'--{name}={port}' for name, port in ports),
            *(f'--temp-dir={self._folder}', f'--num-cpus={self._workers}'),
            '--include-dashboard=false',
        ]
        with (self._folder / LOG).open('w') as log:
            return subprocess.Popen(
                command,
                env={**PATIENCE, **os.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us, who end it in order
            )

    def look(self) -> None:
        """Start it again where it has ended: it gives its raylet 30 seconds, always.

        Raises:
            PaifError: it has ended `STARTS` times; says what it said last.
        """
        if self._process.poll() is None:
            return
        if self._starts == STARTS:
            said = ' '.join((self._folder / LOG).read_text('utf-8', 'replace').split())
            raise PaifError(f'Ray has ended with code {self._process.returncode}: {said[-500:]}')
        self._process = self._start()

    def close(self) -> None:
        """End it and all of its processes, and forget its folder. May be called again."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()  # the kernel then ends its processes too
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens to, each another one."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(('', 0))
        return [int(each.getsockname()[1]) for each in sockets]
