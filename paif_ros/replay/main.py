"""paif-replay: recordings in, recordings out, without ROS."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from paif_ros.errors import PaifError, ParameterError
from paif_ros.monitoring.notices import Level
from paif_ros.replay.arguments import parser, without_ros
from paif_ros.replay.options import Inputs, Options, Task
from paif_ros.replay.verdict import FAILED, WRONG

NEEDED = ('rosbags', 'mcap', 'zstandard', 'lz4', 'av', 'tqdm', 'cv2', 'yaml')
COLORS = {Level.WARN: '33', Level.ERROR: '31', Level.FATAL: '31'}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    known = parser()
    args = known.parse_args(without_ros(given))
    stop = threading.Event()
    try:
        _need()
        tasks, folder = _tasks(args, ('paif-replay', *given))
        _make_room(args, folder)
    except (PaifError, ValueError) as err:
        known.exit(WRONG, f'paif-replay: {err}\n')
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _stop(stop))
    try:
        code, told, text = _run(args, tasks, folder, stop.is_set)
        if args.report:
            text += _reports(tasks)
    except (PaifError, OSError) as err:
        _say(Level.ERROR, str(err))
        known.exit(_code_of(err))
    print(json.dumps(told, indent=1) if args.json else text, flush=True)
    sys.exit(code)


def _run(
    args: argparse.Namespace, tasks: list[Task], folder: Path, stopped: Callable[[], bool]
) -> tuple[int, Any, str]:
    """Do everything. Returns exit code, JSON and text."""
    from paif_ros.replay.progress import Bar
    from paif_ros.replay.run import Run
    from paif_ros.replay.summary import archive_text, run_text

    bar = Bar(False if args.quiet else None)
    if len(tasks) == 1 and args.workers == 1 and args.ray is None and args.split is None:
        record = Run(tasks[0], _say, bar, stopped, resume=args.resume).run()
        code = FAILED if record.exit_code is None else record.exit_code
        return code, record.to_dict(), run_text(record, folder)
    from paif_ros.replay.many import Archive
    from paif_ros.replay.pools import Pool, Processes, Ray

    pool: Pool
    if args.ray is not None:
        pool = Ray(args.ray, args.workers, args.retries, gpus=args.gpus_per_task)
    else:
        pool = Processes(args.workers, args.retries, stopped)
    tree = Archive(
        tasks,
        folder,
        pool,
        split=args.split or 0.0,
        workers=args.workers,
        say=_say,
        progress=bar,
    ).run()
    return tree['exit_code'], tree, archive_text(tree, folder)


def _reports(tasks: list[Task]) -> str:
    """Write the report of each recording that was begun. Returns lines that say where they are."""
    from paif_ros.replay.record import RUN
    from paif_ros.report.make import make_report

    folders = [Path(task.folder) for task in tasks if Path(task.folder, RUN).is_file()]
    return ''.join(f'\nwrote {make_report(folder)}' for folder in folders)


def _need() -> None:
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        names = ', '.join(missing)
        raise ParameterError(
            'installation', names, 'what requirements/replay.txt lists: pip install -r it'
        )


def _tasks(args: argparse.Namespace, command: tuple[str, ...]) -> tuple[list[Task], Path]:
    """Return a task for each recording, and the folder of all."""
    topics = {
        role: given
        for role in ('color', 'thermal', 'color_info', 'thermal_info')
        if (given := getattr(args, f'{role}_topic'))
    }
    inputs = [Inputs((path,), topics, args.rate) for path in args.recordings]
    if bool(args.color) != bool(args.thermal):
        raise ParameterError('--color and --thermal', args.color or args.thermal, 'both')
    if args.color:
        inputs.append(Inputs((str(args.color), str(args.thermal)), topics, args.rate))
    if not inputs:
        raise ParameterError('RECORDING', '', 'a bag or folder, or --color and --thermal')
    for path in (path for one in inputs for path in one.paths):
        if not Path(path).expanduser().exists():
            raise ParameterError('RECORDING', path, 'a file or folder that is there')
    options = _options(args)
    single = len(inputs) == 1
    folder = args.out or Path(f'{inputs[0].name}_replay' if single else 'replay')
    names = _unlike([one.name for one in inputs])
    return [
        Task(one, str(folder if single else folder / name), options, command=command)
        for one, name in zip(inputs, names, strict=True)
    ], folder


def _options(args: argparse.Namespace) -> Options:
    from paif_ros.replay.making import make_sinks
    from paif_ros.replay.parameter_files import read_parameters, shipped_model

    given = [*args.param, *([f'model_path:={args.model}'] if args.model else [])]
    node = f'/{args.node.strip("/")}'
    parameters = read_parameters(args.params_file, given, shipped_model(), node)
    if not Path(str(parameters['model_path'])).is_file():
        wanted = 'a model file that export/to_onnx.py wrote: give --model'
        raise ParameterError('model_path', parameters['model_path'], wanted)
    options = Options(
        parameters=parameters,
        node=node,
        storage=args.storage,
        compress=args.compress,
        copy=args.copy,
        topics=args.topics,
        transport=args.transport,
        mosaic=args.video,
        pictures=args.png,
        report=args.report,
        rerun=args.rerun,
        checkpoint=args.checkpoint,
    )
    make_sinks(options)  # says what of it is wrong now, before anything is done
    return options


def _make_room(args: argparse.Namespace, folder: Path) -> None:
    """Throw an earlier run away where that is asked for, and refuse to write among other things.

    Raises:
        FolderInUseError: the folder holds something.
    """
    from paif_ros.replay.many import MANIFEST
    from paif_ros.replay.record import RUN
    from paif_ros.replay.run import FolderInUseError

    if not folder.exists():
        return
    if not folder.is_dir():
        raise FolderInUseError(folder, 'is a file: give another --out')
    ours = any((folder / name).is_file() for name in (RUN, MANIFEST))
    if not any(folder.iterdir()):
        return
    if not ours:
        raise FolderInUseError(folder, 'is not empty and holds no replay: give another --out')
    if args.overwrite:
        shutil.rmtree(folder)
    elif not args.resume:
        raise FolderInUseError(
            folder,
            'holds a replay: go on with --resume, begin anew with --overwrite, or give --out',
        )


def _unlike(names: Sequence[str]) -> list[str]:
    """Return names of which no two are alike."""
    seen: dict[str, int] = {}
    unlike = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unlike.append(name if seen[name] == 1 else f'{name}_{seen[name]}')
    return unlike


def _code_of(err: Exception) -> int:
    """Return 2 for what the user can say otherwise, 1 for what is broken."""
    from paif_ros.replay.choice import TopicChoiceError
    from paif_ros.replay.run import FolderInUseError

    wrong = isinstance(err, (TopicChoiceError, FolderInUseError, ParameterError))
    return WRONG if wrong else FAILED


def _stop(stop: threading.Event) -> None:
    if not stop.is_set():
        _say(Level.INFO, 'stopping after the present frame; what was made is kept')
    stop.set()


def _say(level: Level, text: str) -> None:
    """Print a sentence beside the progress bar, in colour on a terminal."""
    from tqdm import tqdm

    word = 'warning' if level is Level.WARN else level.value
    if sys.stderr.isatty() and level in COLORS:
        word = f'\x1b[{COLORS[level]}m{word}\x1b[0m'
    tqdm.write(f'{word}: {text}', file=sys.stderr)


if __name__ == '__main__':
    main()
