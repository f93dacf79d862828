"""Turn an ONNX file, or trained weights, into a TensorRT engine that answers as FP32 does.

    python export/to_trt.py models/weights/paif_small_mixed.onnx
    python export/to_trt.py models/weights/paif_small.safetensors       (needs torch)
    python export/to_trt.py model.onnx --library tensorrt_rtx --build-only --out model.plan

Run it on the machine that is to run the engine. It looks at GPU, memory and versions, builds,
compares the engine with the FP32 answers that lie beside the model (*.parity.npz), tries the safer
exports beside it if that fails, and keeps the engine in the cache where the node finds it. The
node does the same on its first start; this does it before. From weights it makes the exports
first: mixed, safe, FP32, and the FP32 answers.

`--build-only` parses and builds, and compares nothing: the engine is not kept, only written to
`--out`. TensorRT-RTX does that without a GPU.

The exit code is 0 if there is an engine, 1 if there is none (it says why, and what to do), 2 on
bad arguments.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a script, only its own folder is there
    sys.path.insert(0, str(ROOT))

from paif_ros.command_line import TRAINING_LIBRARIES, add_version  # noqa: E402
from paif_ros.errors import EngineError, PaifError  # noqa: E402
from paif_ros.tensorrt import library  # noqa: E402
from paif_ros.tensorrt.builder import Batches, BuildOptions, build  # noqa: E402
from paif_ros.tensorrt.cache import DEFAULT, Cache  # noqa: E402
from paif_ros.tensorrt.files import replace_file  # noqa: E402
from paif_ros.tensorrt.layers import half_share  # noqa: E402
from paif_ros.tensorrt.model_file import read_model  # noqa: E402
from paif_ros.tensorrt.parity import SUFFIX  # noqa: E402
from paif_ros.tensorrt.prepare import (  # noqa: E402
    ON_MISMATCH,
    REBUILD,
    ParityError,
    prepare,
)
from paif_ros.tensorrt.trial import inspect_plan  # noqa: E402

DONE, FAILED, WRONG = 0, 1, 2
WEIGHTS = ('.safetensors', '.pth', '.pt')
Report = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Build an engine; see the module's docstring for the steps and exit codes."""
    args = _parser().parse_args(argv)
    report: Report = {'model': str(args.model), 'library': args.library, 'done': False}
    code = FAILED
    try:
        code = _run(args, report)
    except ParityError as err:
        report.update(err.report, error=str(err))
    except PaifError as err:
        report['error'] = str(err)
    except KeyboardInterrupt:
        report['error'] = 'interrupted; nothing was kept'
    except OSError as err:
        report['error'] = f'{args.out or err.filename}: {err.strerror}'
    report['done'] = code == DONE
    if 'error' in report:
        print(f'error: {report["error"]}', file=sys.stderr)
    if args.json is not None:
        try:
            text = json.dumps(report, indent=1) + '\n'
            replace_file(args.json, text.encode(), 0o644)
        except OSError as err:
            print(f'error: can not write {args.json}: {err.strerror}', file=sys.stderr)
            return FAILED
    return code


def _run(args: argparse.Namespace, report: Report) -> int:
    if (wrong := _wrong(args)) is not None:
        report['error'] = wrong
        return WRONG
    module = _find(args.library)
    report['library'] = library.kind_of(module)
    report['library_version'] = library.version_text(module)
    print(f'{report["library"]} {report["library_version"]}')
    for remark in library.remarks(module):
        print(f'note: {remark}')
    model = args.model if args.model.suffix == '.onnx' else _export(args)
    if model is None:
        report['error'] = 'the export failed, see above'
        return FAILED
    options = BuildOptions(
        workspace_mib=args.workspace,
        optimization_level=args.optimization_level,
        timing_cache=args.timing_cache,
        profiles=tuple(args.profile),
        compute_capability=args.compute_capability,
    )
    work = _build_only if args.build_only else _build_and_keep
    work(args, model, options, module, report)
    return DONE


def _build_only(
    args: argparse.Namespace, path: Path, options: BuildOptions, module: ModuleType, report: Report
) -> None:
    """Build and compare nothing."""
    model = read_model(path)
    built = build(model.data, options, module, _print_progress)
    found = inspect_plan(built.plan, module)
    report.update(
        file=path.name,
        onnx_sha256=hashlib.sha256(model.data).hexdigest(),
        precision=model.card.precision,
        seconds=round(built.seconds, 1),
        plan_bytes=len(built.plan),
        warnings=list(built.warnings),
        layers={'asked': built.asked, 'found': 'not measured' if found is None else found},
        parity='not measured',
        installed=None,
    )
    share = half_share(built.asked)
    print(
        f'built {path.name}: {len(built.plan) / 1e6:.1f} MB in {built.seconds:.0f} s, '
        f'{share or 0:.0%} of its layers ask for FP16. It was compared with nothing'
    )
    if args.out is not None:
        replace_file(args.out, built.plan)
        print(f'wrote {args.out}')


def _build_and_keep(
    args: argparse.Namespace, path: Path, options: BuildOptions, module: ModuleType, report: Report
) -> None:
    """Build, compare with FP32 on this machine's GPU, keep."""
    from paif_ros.engines.tensorrt import PlanEngine
    from paif_ros.tensorrt.cuda import Cuda

    card = read_model(path).card
    cuda = Cuda()
    device = cuda.device()
    print(f'{device.name}, compute capability {device.compute_capability}')

    def run(plan: bytes) -> PlanEngine:
        engine = PlanEngine(plan, module, cuda, device, card)
        engine.load()
        return engine

    prepared = prepare(
        path,
        options,
        module,
        device,
        Cache(args.cache_dir),
        print,
        run,
        on_mismatch=args.on_mismatch,
        again=True,
        progress=_print_progress,
    )
    report.update(prepared.report)
    report.update(
        fingerprint=prepared.fingerprint.to_dict(),
        cached=prepared.cached,
        installed=None if prepared.path is None else str(prepared.path),
    )
    what = 'kept before' if prepared.cached else 'built now'
    print(f'engine in {prepared.precision}, {what}: {prepared.path or "not kept"}')
    if args.out is not None:
        replace_file(args.out, prepared.plan)
        print(f'wrote {args.out}, for looking at: the node takes the .onnx and the kept engine')


def _export(args: argparse.Namespace) -> Path | None:
    """Make the ONNX files and the FP32 answers of weights; needs torch.

    Returns:
        The mixed one, None where a step failed, which has said why.
    """
    try:
        from export import parity_pairs, to_onnx
    except ImportError as err:
        raise EngineError(
            'export',
            f'weights need torch and onnx to be exported ({err}): do it on another machine with '
            '`python export/to_trt.py` or `export/to_onnx.py`, copy its .onnx and .parity.npz '
            'files here, and give the .onnx',
        ) from err
    more = ['--config', args.config] if args.config else []
    more += ['--size', args.size] if args.size else []
    folder, stem = args.exports or args.model.parent, args.model.stem
    names = {form: f'{stem}_{form}.onnx' for form in ('mixed', 'safe')} | {'fp32': f'{stem}.onnx'}
    for form, name in names.items():
        out = ['--precision', form, '--out', str(folder / name)]
        if to_onnx.main([str(args.model), *more, *out]) != 0:
            return None
    out = ['--out', str(folder / f'{stem}{SUFFIX}')]
    if parity_pairs.main([str(args.model), *more, *out]) != 0:
        return None
    return Path(folder / names['mixed'])


def _find(name: str) -> ModuleType:
    """Return the library of a name, or with 'auto' the first that is there."""
    if name != 'auto':
        return library.find(name)
    reasons = []
    for kind in library.KINDS:
        try:
            return library.find(kind)
        except EngineError as err:
            reasons.append(str(err))
    raise EngineError('TensorRT', '; '.join(reasons))


def _print_progress(part: float, phase: str) -> None:
    print(f'building: {part:4.0%} {phase}', flush=True)


def _wrong(args: argparse.Namespace) -> str | None:
    """Return what is wrong with the arguments together, None if nothing is."""
    onnx = args.model.suffix == '.onnx'
    if not args.model.is_file():
        return f'there is no file {str(args.model)!r}'
    if not onnx and args.model.suffix not in WEIGHTS:
        return (
            f'{str(args.model)!r} is no .onnx and no weights ({", ".join(WEIGHTS)}): engines are '
            'built from those'
        )
    if onnx and (args.config or args.size or args.exports):
        return 'an ONNX file is exported already: --config, --size and --exports are for weights'
    if args.compute_capability and not args.build_only:
        return (
            '--compute-capability builds for another GPU, where nothing can be compared: it goes '
            'with --build-only'
        )
    folders = [path.parent for path in (args.out, args.json, args.timing_cache) if path]
    missing = [path for path in (*folders, args.exports) if path and not path.is_dir()]
    return f'there is no folder {str(missing[0])!r}' if missing else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('model', type=Path, help='.onnx file, or weights (.safetensors, .pth)')
    parser.add_argument(
        '--library',
        choices=('auto', *library.KINDS),
        default='auto',
        help='which TensorRT; auto takes tensorrt, else tensorrt_rtx',
    )
    parser.add_argument(
        '--build-only', action='store_true', help='compare nothing, keep nothing; see above'
    )
    parser.add_argument('--out', type=Path, help='also write the engine to this file')
    parser.add_argument('--json', type=Path, help='write a report to this file')
    parser.add_argument(
        '--workspace',
        type=_whole(0, 1 << 20),
        default=0,
        metavar='MIB',
        help="memory one layer may use, 0 is TensorRT's own choice; the same as the node's "
        'engine.workspace_mib, or it builds its own engine',
    )
    parser.add_argument(
        '--optimization-level',
        type=_whole(0, 5),
        default=3,
        metavar='0..5',
        help="how long to search, default 3; the same as the node's engine.optimization_level",
    )
    parser.add_argument(
        '--timing-cache', type=Path, help='file for measured times; default in the cache folder'
    )
    parser.add_argument(
        '--profile',
        type=_batches,
        action='append',
        default=[],
        metavar='LEAST,BEST,MOST',
        help='pairs in a batch, for a model whose batch is open; may be given again',
    )
    parser.add_argument(
        '--cache-dir',
        type=Path,
        default=DEFAULT,
        help=f'where engines are kept, default {DEFAULT}',
    )
    parser.add_argument(
        '--on-mismatch',
        choices=ON_MISMATCH,
        default=REBUILD,
        help='what to do with a kept engine that does not serve here, default rebuild',
    )
    parser.add_argument(
        '--compute-capability',
        default='',
        metavar='8.9',
        help='build for such a GPU without having it (TensorRT-RTX, --build-only)',
    )
    parser.add_argument('--config', help='of weights: see export/to_onnx.py')
    parser.add_argument('--size', help='of weights: HEIGHTxWIDTH, default 480x640')
    parser.add_argument(
        '--exports', type=Path, help='of weights: folder for the exports, default beside them'
    )
    return parser


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            msg = f'{text!r} is not a whole number from {least} to {most}'
            raise argparse.ArgumentTypeError(msg)
        return int(text)

    return read


def _batches(text: str) -> Batches:
    parts = text.split(',')
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        msg = f'{text!r}: give LEAST,BEST,MOST, such as 1,1,4'
        raise argparse.ArgumentTypeError(msg)
    batches = Batches(*(int(part) for part in parts))
    if not 1 <= batches.least <= batches.best <= batches.most:
        msg = f'{text!r}: give 1 <= LEAST <= BEST <= MOST'
        raise argparse.ArgumentTypeError(msg)
    return batches


if __name__ == '__main__':
    sys.exit(main())
