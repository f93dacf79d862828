"""The command line of paif-replay."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from paif_ros.command_line import add_version
from paif_ros.fusion.outgoing import PICTURES
from paif_ros.replay.mosaic import NAMES
from paif_ros.replay.options import STORAGES, TRANSPORTS
from paif_ros.replay.picture_sink import NAMES as PNG_NAMES

EXAMPLES = """\
examples:
  paif-replay drive.mcap                       # writes drive_replay/bag, run.json, frames.csv
  paif-replay rosbag2_2026_11_24/ -o out --copy --compress --params-file config/fusion.yaml
  paif-replay drive.mcap --video "rgb,thermal/fused,overlay" --png fused,mask --storage none
  paif-replay drive.mcap --color-topic /cam0/image --thermal-topic /boson/image -p sync.slop:=0.05
  paif-replay --color rgb.mp4 --thermal ir.mp4 --video
  paif-replay --color rgb/ --thermal ir/ --rate 10
  paif-replay drive.mcap --report --rerun      # report.html, and rerun/*.rrd to look into
  paif-replay drive.mcap --resume              # goes on after Ctrl-C, a crash or kill -9
  paif-replay archive/*.mcap -o out --workers 4
  paif-replay archive/*.mcap -o /nfs/out --ray auto --split 60

exit codes: 0 all well; 3 done, but something of the recording was lost (run.json says what);
1 failed or interrupted; 2 wrong arguments. docs/replay.md has the rest.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser."""
    top = argparse.ArgumentParser(
        prog='paif-replay',
        description='Fuses and segments a recording as the node would, without ROS: recording in, '
        'recording out, no frame lost.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        'recordings',
        nargs='*',
        metavar='RECORDING',
        help='ROS 2 bag (folder, .mcap or .db3), or a folder with vi/ and ir/',
    )
    add_version(top)
    _add_inputs(top.add_argument_group('input'))
    _add_outputs(top.add_argument_group('output'))
    _add_node(top.add_argument_group('node'))
    _add_way(top.add_argument_group('how'))
    return top


def _add_inputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument('--color', type=Path, metavar='PATH', help='film or folder of pictures')
    group.add_argument('--thermal', type=Path, metavar='PATH', help='the thermal one beside it')
    group.add_argument(
        '--rate',
        type=_positive,
        default=0.0,
        metavar='HZ',
        help='frames per second of films or folders, in place of their own times',
    )
    for role, text in (
        ('color', 'RGB images'),
        ('thermal', 'thermal images'),
        ('color-info', 'camera_info of the RGB camera'),
        ('thermal-info', 'camera_info of the thermal camera'),
    ):
        group.add_argument(f'--{role}-topic', default='', metavar='TOPIC', help=f'topic of {text}')


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '-o', '--out', type=Path, metavar='DIR', help='folder; default NAME_replay, or replay'
    )
    group.add_argument('--resume', action='store_true', help='go on where an earlier run stopped')
    group.add_argument('--overwrite', action='store_true', help='throw an earlier run away first')
    group.add_argument(
        '--storage', choices=STORAGES, default='mcap', help='of the bag; default mcap'
    )
    group.add_argument('--compress', action='store_true', help='the bag is compressed (zstd)')
    group.add_argument(
        '--copy', action='store_true', help="the recording's own topics go into it too"
    )
    group.add_argument(
        '--topics',
        type=_names(tuple(PICTURES)),
        default=tuple(PICTURES),
        metavar='LIST',
        help=f'pictures in the bag, default all: {",".join(PICTURES)}',
    )
    group.add_argument(
        '--transport', choices=TRANSPORTS, default='raw', help='of these pictures; default raw'
    )
    group.add_argument(
        '--video',
        nargs='?',
        const='rgb,thermal/fused,overlay',
        default='',
        metavar='MOSAIC',
        help=f'MP4 of {",".join(NAMES)}: commas within a row, slashes between rows',
    )
    group.add_argument(
        '--mosaic', dest='video', default=argparse.SUPPRESS, metavar='MOSAIC', help='as --video'
    )
    group.add_argument(
        '--png',
        type=_names(PNG_NAMES),
        default=(),
        metavar='LIST',
        help=f'PNG files of {",".join(PNG_NAMES)}',
    )
    group.add_argument(
        '--report', action='store_true', help='report.html: rates, latency, drops, key frames'
    )
    group.add_argument(
        '--rerun',
        nargs='?',
        const='files',
        default='',
        metavar='URL',
        help='log to Rerun: files in DIR/rerun, or the viewer at URL',
    )


def _add_node(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--params-file',
        action='append',
        type=Path,
        default=[],
        metavar='YAML',
        help="the node's own file, as ROS takes it; may be given again, later ones win",
    )
    group.add_argument(
        '-p',
        '--param',
        action='append',
        default=[],
        metavar='NAME:=VALUE',
        help='a parameter of the node; wins over files',
    )
    group.add_argument('--model', default='', metavar='ONNX', help='same as -p model_path:=ONNX')
    group.add_argument(
        '--node', default='/fusion', metavar='NAME', help='of the outputs; default /fusion'
    )


def _add_way(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--workers', type=_count, default=1, metavar='N', help='recordings or stretches at once'
    )
    group.add_argument(
        '--ray',
        nargs='?',
        const='',
        default=None,
        metavar='ADDRESS',
        help='run on Ray: a cluster, or here with --workers',
    )
    group.add_argument(
        '--gpus-per-task', type=_positive, default=0.0, metavar='N', help='for Ray, such as 0.5'
    )
    group.add_argument(
        '--split',
        type=float,
        default=None,
        metavar='S',
        help='cut recordings into tasks of S seconds; 0 chooses, below 0 never',
    )
    group.add_argument(
        '--retries', type=int, default=2, metavar='N', help='of a task that was killed; default 2'
    )
    group.add_argument(
        '--checkpoint',
        type=_positive,
        default=30.0,
        metavar='S',
        help='seconds of work that a crash may cost; default 30',
    )
    group.add_argument('--json', action='store_true', help='print run.json or the manifest')
    group.add_argument('-q', '--quiet', action='store_true', help='no progress bar')


def without_ros(arguments: Sequence[str]) -> list[str]:
    """Return a command line without what `ros2 run` users put around parameters."""
    return [argument for argument in arguments if argument not in ('--ros-args', '--')]


def _names(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def names(text: str) -> tuple[str, ...]:
        found = tuple(name.strip() for name in text.split(',') if name.strip())
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f'{name!r} is none of {", ".join(known)}')
        return found

    return names


def _positive(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f'{text} is not above 0')
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text} is not 1 or more')
    return value
