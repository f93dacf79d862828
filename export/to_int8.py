"""Write an INT8 model: explicit QuantizeLinear and DequantizeLinear where pictures allow it.

    python export/to_int8.py WEIGHTS --calibration FOLDER [--for tensorrt|cpu|both] [--json R]
    python export/to_int8.py WEIGHTS --calibration BAG

The calibration set is a folder {vi,ir}/NAME or a ROS 2 bag (color/image_raw, thermal/image_raw) of
the cameras that the model is for. Half of it gives the ranges of what flows into each layer, the
other half says which layers are sensitive: groups of layers become INT8 as long as fused picture
and mask stay within half of what the parity gate allows. The file is then compared with FP32
on other pairs (`--pictures`) in ONNX Runtime, whose INT8 on a CPU is real, and written only if it
holds; the exit code is 1 if it does not, 2 on bad arguments.

The two kinds of engine want different files: TensorRT symmetric INT8 inside the mixed model, in
opset 19, which has QuantizeLinear for FP16; CPU engines unsigned activations inside the FP32
model, made by onnxruntime.quantization.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # run as a script, only its own folder is there
    sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
from torch import nn  # noqa: E402

from export.compact import compact  # noqa: E402
from export.graph_rules import OPSET, broken_rules  # noqa: E402
from export.int8_search import Choice, calibrate, choose  # noqa: E402
from export.islands import Pair  # noqa: E402
from export.moved import FUSED_PSNR, MASK_AGREEMENT_INT8, Answer, Moved, compare  # noqa: E402
from export.qdq import OPSET_INT8, insert, weighted  # noqa: E402
from export.to_onnx import PICTURES, export_onnx, parse_size, read_pairs  # noqa: E402
from models.checkpoint import CheckpointError, load_paif, sha256  # noqa: E402
from models.deploy import deploy  # noqa: E402
from models.paif import PAIF  # noqa: E402
from models.precision import MIXED  # noqa: E402
from paif_ros import __version__  # noqa: E402
from paif_ros.command_line import TRAINING_LIBRARIES, add_version  # noqa: E402
from paif_ros.contract import CONFIDENCE, OUTPUTS, ModelCard  # noqa: E402
from paif_ros.errors import CalibrationError  # noqa: E402
from paif_ros.registration.alignment.scenes import from_bag, from_folder  # noqa: E402

TENSORRT, CPU = 'tensorrt', 'cpu'
ENDINGS = {TENSORRT: '_int8', CPU: '_int8_cpu'}
LEAST_PAIRS = 4


@dataclass(frozen=True)
class Session:
    """An ONNX file in ONNX Runtime on the CPU."""

    session: Any

    @classmethod
    def of(cls, model: bytes) -> Session:
        """Load a file's bytes."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # it warns of each constant that it does not fold
        providers = ['CPUExecutionProvider']
        return cls(onnxruntime.InferenceSession(model, options, providers=providers))

    def answers(self, pairs: Sequence[Pair]) -> tuple[list[Answer], float]:
        """Return what the file answers, and the median milliseconds of a pair."""
        found, times = [], []
        for visible, thermal in pairs:
            start = time.perf_counter()
            outputs = self.session.run(
                [*OUTPUTS, CONFIDENCE], {'visible': visible[None], 'thermal': thermal[None]}
            )
            times.append(1e3 * (time.perf_counter() - start))
            found.append(Answer(*(output[0] for output in outputs)))
        return found, float(np.median(times))


def read_calibration(path: Path, size: tuple[int, int], count: int) -> list[Pair]:
    """Read up to `count` pairs of a folder or bag, resized to (height, width).

    Raises:
        CalibrationError: there are not enough, or they can't be read.
    """
    bag = path.is_file() or (path / 'metadata.yaml').is_file()
    found = from_bag(path, count) if bag else from_folder(path, count)
    if len(found.pairs) < LEAST_PAIRS:
        raise CalibrationError(
            'pairs', f'{len(found.pairs)} in {path}', f'{LEAST_PAIRS} or more, better 32'
        )
    shape = (size[1], size[0])
    return [
        (
            np.asarray(cv2.resize(visible, shape), np.uint8),
            np.asarray(cv2.resize(thermal, shape), np.uint8),
        )
        for visible, thermal in found.pairs
    ]


def write_tensorrt(network: PAIF, choice: Choice, size: tuple[int, int]) -> onnx.ModelProto:
    """Export the mixed network with INT8 in the chosen layers, for TensorRT."""
    model = export_onnx(deploy(network, MIXED), size, 1, {}, small=False)
    insert(model, {layer.path: layer for layer in choice.chosen})
    compact(model)
    return model


def write_cpu(model: onnx.ModelProto, choice: Choice, pairs: Sequence[Pair]) -> onnx.ModelProto:
    """Return the FP32 model, with the exporter's notes, with INT8 in the chosen layers.

    For engines on CPUs.
    """
    from onnxruntime import quantization

    nodes = weighted(model)

    class Feeder(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[Pair] = iter(pairs)

        def get_next(self) -> dict[str, Any] | None:
            pair = next(self.left, None)
            return pair and {'visible': pair[0][None], 'thermal': pair[1][None]}

    with tempfile.TemporaryDirectory() as folder:
        plain, out = Path(folder, 'plain.onnx'), Path(folder, 'int8.onnx')
        onnx.save(model, plain)
        logging.disable(logging.WARNING)  # it advises steps that do not fit uint8 inputs
        try:
            quantization.quantize_static(
                plain,
                out,
                Feeder(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=['Conv', 'MatMul'],
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_quantize=[nodes[layer.path].name for layer in choice.chosen],
            )
        finally:
            logging.disable(logging.NOTSET)
        quantised = onnx.load(out)
    compact(quantised)
    return quantised


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('weights', type=Path)
    parser.add_argument(
        '--calibration', type=Path, required=True, help='folder {vi,ir}/NAME, or a bag'
    )
    parser.add_argument(
        '--for',
        dest='target',
        choices=(TENSORRT, CPU, 'both'),
        default=TENSORRT,
        help='kind of engine, default tensorrt',
    )
    parser.add_argument('--config', help='name in models/configs or a path; not for ours')
    parser.add_argument('--out', type=Path, help='folder to write to, default that of the weights')
    parser.add_argument(
        '--size', type=parse_size, default=(480, 640), help='HEIGHTxWIDTH, default 480x640'
    )
    parser.add_argument('--count', type=int, default=16, help='calibration pairs, default 16')
    parser.add_argument(
        '--pictures', type=Path, default=PICTURES, help='folder {vi,ir}/NAME to compare on'
    )
    parser.add_argument('--json', type=Path, help='write choice and differences there too')
    return parser.parse_args(argv)


def card_of(network: PAIF, weights: Path, size: tuple[int, int]) -> ModelCard:
    """Return the metadata of an INT8 model."""
    return ModelCard(
        network='paif',
        variant=network.config.variant,
        genotype=network.config.genotype.to_json(),
        classes=network.config.classes,
        input_size=size,
        weights_sha256=sha256(weights),
        version=__version__,
        precision='int8',
    )


@dataclass(frozen=True)
class Result:
    """An INT8 file and how far it is from FP32.

    Attributes:
        data: its bytes.
        moved: on the pairs to compare on, in ONNX Runtime.
        broken: rules that its graph breaks.
        milliseconds: of a pair in ONNX Runtime on this CPU.
    """

    data: bytes
    moved: Moved
    broken: list[str]
    milliseconds: float

    @property
    def passed(self) -> bool:
        """Whether the file may be written."""
        return not self.broken and self.moved.passes(MASK_AGREEMENT_INT8)


def judge(
    model: onnx.ModelProto, opset: int, layer_norms: int, pairs: list[Pair], plain: list[Answer]
) -> Result:
    """Check a graph and compare what it answers with FP32."""
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    found, milliseconds = Session.of(data).answers(pairs)
    broken = broken_rules(model, layer_norms, opset)
    return Result(data, compare(found, plain), broken, milliseconds)


def report_of(choice: Choice, plain_ms: float, results: dict[str, Result]) -> dict[str, Any]:
    """Return what was chosen and measured as JSON can hold it."""
    taken = sorted({layer.group for layer in choice.chosen})
    return {
        'groups': taken,
        'left_out': sorted(choice.alone.keys() - set(taken)),
        'part_of_multiplications': choice.macs,
        'alone': {name: asdict(found) for name, found in choice.alone.items()},
        'together_on_calibration_pairs': asdict(choice.together) if choice.together else None,
        'milliseconds_fp32': plain_ms,
        'files': {
            target: {
                'bytes': len(result.data),
                'milliseconds': result.milliseconds,
                'moved': asdict(result.moved),
            }
            for target, result in results.items()
        },
    }


def main(argv: list[str] | None = None) -> int:
    """Write INT8 models; see the module's docstring for steps and exit codes."""
    args = arguments(argv)
    try:
        network = load_paif(args.weights, args.config)
        calibration = read_calibration(args.calibration, args.size, args.count)
        pairs = read_pairs(args.pictures, args.size)
    except (CheckpointError, CalibrationError, OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    full = deploy(network)
    ranges, judges = calibration[::2], calibration[1::2]
    layers = calibrate(full, ranges)
    choice = choose(full, layers, judges, (FUSED_PSNR, MASK_AGREEMENT_INT8), print)
    if not choice.chosen:
        print('nothing may be INT8 within the bounds: use the mixed model', file=sys.stderr)
        return 1
    left_out = sorted(choice.alone.keys() - {layer.group for layer in choice.chosen})
    print(
        f'INT8: {len(choice.chosen)} of {len(layers)} layers, {choice.macs:.0%} of their '
        f'multiplications; left out: {", ".join(left_out) or "nothing"}'
    )
    card = card_of(network, args.weights, args.size).to_metadata()
    layer_norms = sum(isinstance(module, nn.LayerNorm) for module in full.modules())
    plain = export_onnx(full, args.size, 1, {}, small=False)  # what the CPU's file is made from
    expected, plain_ms = Session.of(plain.SerializeToString()).answers(pairs)
    results: dict[str, Result] = {}
    for target in (TENSORRT, CPU) if args.target == 'both' else (args.target,):
        if target == TENSORRT:
            model, opset = write_tensorrt(network, choice, args.size), OPSET_INT8
        else:
            model, opset = write_cpu(plain, choice, ranges), OPSET
        notes = {'int8_for': target, 'int8_left_out': json.dumps(left_out)}
        onnx.helper.set_model_props(model, card | notes)
        result = results[target] = judge(model, opset, layer_norms, pairs, expected)
        print(
            f'{target}: {len(pairs)} other pairs in ONNX Runtime against FP32, worst: fused '
            f'{result.moved.fused_psnr:.1f} dB (bound {FUSED_PSNR:g}), mask '
            f'{result.moved.agreement:.2%} (bound {MASK_AGREEMENT_INT8:.1%}); {plain_ms:.0f} ms '
            f'in FP32, {result.milliseconds:.0f} ms now, on this CPU'
        )
        for sentence in result.broken:
            print(f'  FAIL the graph {sentence}')
        out = (args.out or args.weights.parent) / f'{args.weights.stem}{ENDINGS[target]}.onnx'
        if result.passed:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(result.data)
            print(f'wrote {out}: {len(result.data) / 1e6:.1f} MB, opset {opset}')
        else:
            print(f'not written: {out}', file=sys.stderr)
    if args.json:
        args.json.write_text(json.dumps(report_of(choice, plain_ms, results), indent=2))
    return 0 if all(result.passed for result in results.values()) else 1


if __name__ == '__main__':
    sys.exit(main())
