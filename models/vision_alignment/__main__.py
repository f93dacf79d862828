r"""Make a training set for a target domain out of another data set: Top-k vision alignment.

    python -m models.vision_alignment --target ../shared/data/roadscene \
        --external ../shared/data/train --out runs/aligned --k 200
    python -m models.vision_alignment --target roadscene:~/RoadScene --external m3fd:~/M3FD \
        --out RSM3.h5 --order paper

Keeps the k patches of `--external` whose colours are most like those of `--target`, corrects their
colours by three exponents, and writes them with their thermal patches and labels behind the
target's own: into a folder {vi,ir,label}/NAME.png (what recipes read as the source `aligned`), or,
where `--out` ends in .h5, into the file that CrossFuse's official training reads, without colours
and labels. Pictures are read one at a time, so data sets may be larger than the memory. Killed,
the same command goes on where it was. Exit codes: 0 made (or made already), 2 bad input. See
docs/vision_alignment.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from models.datasets.errors import DatasetError
from models.vision_alignment.align import SAVE_EVERY, Alignment
from models.vision_alignment.domain import CLASSES, Domain
from models.vision_alignment.settings import ORDERS, Settings
from models.vision_alignment.storage import writer_for
from paif_ros.command_line import TRAINING_LIBRARIES, add_version


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    default = Settings()
    made = argparse.ArgumentParser(
        prog='python -m models.vision_alignment',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(made, *TRAINING_LIBRARIES, 'scipy', 'h5py')
    made.add_argument('--target', required=True, metavar='DATA', help='folder, or NAME:FOLDER')
    made.add_argument('--external', required=True, metavar='DATA', help='folder, or NAME:FOLDER')
    made.add_argument('--out', type=Path, required=True, help='folder, or file that ends in .h5')
    for name, words in {
        'k': 'external patches to keep',
        'patch': 'side of a patch in pixels',
        'stride': 'pixels from one patch to the next',
    }.items():
        value = getattr(default, name)
        made.add_argument(f'--{name}', type=int, default=value, help=f'{words}; default {value}')
    made.add_argument(
        '--order', choices=ORDERS, default=default.order,
        help='code: select, then fit the exponents to the selected ones (default); '
        'paper: fit them to all, then select',
    )  # fmt: skip
    made.add_argument(
        '--target-split', default='all', metavar='SPLIT',
        help="part of the target whose patches are trained on; its colours are always all splits'",
    )  # fmt: skip
    made.add_argument('--external-split', default='all', metavar='SPLIT')
    made.add_argument(
        '--external-only', action='store_true', help="leave the target's own patches out"
    )
    made.add_argument(
        '--classes', type=int, default=CLASSES, help=f'of the labels; default {CLASSES}'
    )
    made.add_argument(
        '--save-every', type=int, default=SAVE_EVERY,
        help=f'samples between two savings of where it is; default {SAVE_EVERY}',
    )  # fmt: skip
    return made


def main(argv: list[str] | None = None) -> int:
    """Make a training set, or go on making it; return the exit code."""
    command = parser()
    args = command.parse_args(argv)
    if args.save_every < 1:
        command.error(f'--save-every {args.save_every}: at least 1')
    try:
        settings = Settings(args.k, args.patch, args.stride, args.order, not args.external_only)
        writer = writer_for(args.out)
        if writer.finished():
            print(f'{args.out} is made already; remove it to make it again')
            return 0
        target = Domain.open(args.target, 'all', args.classes)
        training = target
        if args.target_split != 'all':
            training = Domain.open(args.target, args.target_split, args.classes)
        external = Domain.open(args.external, args.external_split, args.classes)
        alignment = Alignment(target, external, writer, settings, training)
        if alignment.resumed:
            print(f'goes on from {writer.state}')
        card = alignment.run(args.save_every, args.classes)
    except (DatasetError, OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    print(card)
    print(f'wrote {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
