"""Run the whole system: `python -m demo.run`, or `make demo`.

Draws (or reads) a clip of both cameras into a bag, starts the node as its own process, plays the
bag to it in real time, records what it sends, and shows what came out: a table, report.json,
contact_sheet.png and demo.mp4.

    make demo                                       # the same with the environment made first
    python -m demo.run --rate 5 --seconds 8         # slower cameras, a shorter drive
    python -m demo.run --data path/to/clip          # clip_visible.mp4 and clip_infrared.mp4
    python -m demo.run --model models/weights/paif_nano.onnx --out nano_out

Exit codes: 0 done, 1 something failed or counts differ, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

from paif_ros.command_line import add_version

SECONDS, RATE = 16.0, 10.0
NEEDED = {
    'rclpy': 'source ROS 2, or pip install "ros-rclpy[fastrtps]"',
    'rosbags': 'pip install rosbags',
    'cv2': 'pip install opencv-python-headless',
    'numpy': 'pip install numpy',
    'yaml': 'pip install pyyaml',
}


def missing_modules() -> list[str]:
    """Return what is not installed here, and how to get it."""
    return [f'{name} ({how})' for name, how in NEEDED.items() if find_spec(name) is None]


def main() -> None:
    """Read the command line and run. Exits with 1 where something failed or counts differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument('--data', type=Path, help='real clip: prefix of a video pair, or a folder')
    parser.add_argument('--out', type=Path, default=Path('demo_out'), help='folder for everything')
    parser.add_argument('--seconds', type=float, default=SECONDS, help=f'length ({SECONDS:g})')
    parser.add_argument('--rate', type=float, help=f'pairs a second ({RATE:g}, own of a clip)')
    parser.add_argument('--model', type=Path, help='exported model (the one in models/weights)')
    parser.add_argument('--seed', type=int, default=0, help='of the drawn scenes')
    args = parser.parse_args()
    missing = missing_modules()
    if missing:
        parser.exit(1, f'demo: not installed here: {"; ".join(missing)}\n')
    # Only now: these import what may be missing.
    from demo.crew import CrewError
    from demo.report import table
    from demo.stage import find_model, run
    from scenes.make_bag import choose_clip

    # As with Ctrl-C, everything that was started must end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out = args.out.resolve()
    try:
        model = find_model(args.model)
        rate = args.rate if args.data or args.rate else RATE
        report = run(
            choose_clip(args.data, args.seconds, rate, seed=args.seed), out, model, args.seed
        )
    except KeyboardInterrupt:
        parser.exit(130, '\ndemo: stopped\n')
    except (CrewError, OSError, ValueError) as err:
        parser.exit(1, f'demo: {err}\n')
    print(table(report))
    names = ('report.json', 'contact_sheet.png', 'demo.mp4', 'input_bag', 'output_bag')
    print('\n'.join(f'wrote {out / name}' for name in names if (out / name).exists()))
    sys.exit(0 if report.ok else 1)


if __name__ == '__main__':
    main()
