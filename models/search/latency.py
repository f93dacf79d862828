"""Measure what each operator of the search costs on this machine.

    python -m models.search.latency --out models/latency/NAME.json
    python -m models.search.latency --out jetson.json --device cuda --channels 4,8

Every operator is measured in its deployment form (`models.deploy`) at the picture's size: exported
to ONNX and run by ONNX Runtime with one thread on a CPU, as the product does, or by torch on CUDA.
Beside the operators, what no genotype changes: the fusion network with empty cells at each width,
and whole networks with empty cells, so that totals are honest.

Runs are interleaved round robin, so that a machine that slows down slows all alike. CPU time of
the process stands beside the wall clock, and the 10th percentile beside the median: where other
programs share the cores, those two still say what the work itself costs. Caches and clocks are
shared all the same, so the load is written into the file.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.utils
import torch
from torch import Tensor, nn
from tqdm import tqdm

from export.to_onnx import OPSET, parse_size
from models.deploy import DeployedFusion, deploy, fold_operator, with_leaky
from models.fusion import FusionNet
from models.genotype import load_genotype
from models.operators import Operator
from models.paif import PAIF, PAIFConfig, load_config
from models.precision import FP32
from models.search.space import OPERATORS
from models.search.table import Latencies, Timing
from paif_ros.command_line import TRAINING_LIBRARIES, add_version

Key = str | int | tuple[int, str]  # a configuration, a fusion network's width, an operator of it
Run = Callable[[], tuple[float, float]]  # runs once, returns CPU and wall seconds


@dataclass(frozen=True)
class Part:
    """Modules over the same inputs, measured one by one.

    Attributes:
        modules: by what they are called in the table, in eval mode.
        inputs: that each takes.
    """

    modules: dict[Key, nn.Module]
    inputs: tuple[Tensor, ...]


class Branches(nn.Module):
    """Modules of one output side by side over the same inputs: one export for all of them."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the output of each module."""
        return tuple(branch(*inputs) for branch in self.branches)


def operators_part(channels: int, size: tuple[int, int]) -> Part:
    """Return all operators as they are exported, over features [1, C, H, W]."""
    modules: dict[Key, nn.Module] = {}
    for name in OPERATORS:
        folded = nn.Sequential(fold_operator(Operator(name, channels).eval()))
        modules[channels, name] = with_leaky(folded).eval()
    return Part(modules, (torch.rand(1, channels, *size),))


def empty_cells(fusion: DeployedFusion) -> None:
    """Take the operators out of a deployed fusion network; the skips round the cells stay."""
    fusion.chain_thermal = fusion.chain_visible = fusion.chain = nn.Sequential()


def fusion_part(widths: Iterable[int], size: tuple[int, int]) -> Part:
    """Return fusion networks without operators, over thermal and luma [1, 1, H, W]."""
    modules: dict[Key, nn.Module] = {}
    for channels in widths:
        fusion = DeployedFusion(FusionNet(load_genotype('paif'), channels).eval(), FP32)
        empty_cells(fusion)
        modules[channels] = fusion.eval()
    return Part(modules, (torch.rand(1, 1, *size), torch.rand(1, 1, *size)))


def network_part(
    key: Key, config: PAIFConfig, size: tuple[int, int], *, empty: bool = False
) -> Part:
    """Return a whole network as it is exported, over uint8 pictures, perhaps without operators."""
    network = deploy(PAIF(config).eval())
    if empty:
        empty_cells(network.fusion)
    visible = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8)
    thermal = torch.randint(0, 256, (1, *size), dtype=torch.uint8)
    return Part({key: network}, (visible, thermal))


def graphs(part: Part) -> dict[Key, onnx.ModelProto]:
    """Return each module of a part as ONNX."""
    modules = list(part.modules.values())
    alone = len(modules) == 1
    outputs = None if alone else [f'y{i}' for i in range(len(modules))]
    names = [f'x{i}' for i in range(len(part.inputs))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'part.onnx'
        torch.onnx.export(
            (modules[0] if alone else Branches(modules)).eval(),
            part.inputs,
            str(path),
            input_names=names,
            output_names=outputs,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        whole = onnx.load(path)
    if outputs is None:
        return dict.fromkeys(part.modules, whole)
    cut = onnx.utils.Extractor(whole)
    found = (cut.extract_model(names, [output]) for output in outputs)
    return dict(zip(part.modules, found, strict=True))


def on_cpu(part: Part, threads: int) -> dict[Key, Run]:
    """Return a run of each module by ONNX Runtime."""
    import onnxruntime as ort

    feeds = {f'x{i}': x.numpy() for i, x in enumerate(part.inputs)}
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1

    def runner(graph: onnx.ModelProto) -> Run:
        text = graph.SerializeToString()
        session = ort.InferenceSession(text, options, providers=['CPUExecutionProvider'])

        def run() -> tuple[float, float]:
            wall, cpu = time.perf_counter(), time.process_time()
            session.run(None, feeds)
            return time.process_time() - cpu, time.perf_counter() - wall

        return run

    return {key: runner(graph) for key, graph in graphs(part).items()}


def on_cuda(part: Part) -> dict[Key, Run]:
    """Return a run of each module by torch on CUDA; the first time is the device's own."""
    inputs = tuple(x.cuda() for x in part.inputs)

    def runner(module: nn.Module) -> Run:
        module = module.cuda().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        @torch.no_grad()
        def run() -> tuple[float, float]:
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            wall = time.perf_counter()
            begin.record()
            module(*inputs)
            end.record()
            torch.cuda.synchronize()
            return begin.elapsed_time(end) / 1e3, time.perf_counter() - wall

        return run

    return {key: runner(module) for key, module in part.modules.items()}


def interleave(runs: dict[Key, Run], rounds: int) -> dict[Key, Timing]:
    """Run all `rounds` times in turn, after one round that does not count."""
    seconds: dict[Key, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in tqdm(range(rounds + 1), desc='rounds', mininterval=5):
        for name, run in runs.items():
            taken = run()
            if number:
                seconds[name].append(taken)
    return {name: timing(np.array(found) * 1e3) for name, found in seconds.items()}


def timing(ms: Any) -> Timing:
    """Return the percentiles of milliseconds [rounds, 2]: CPU and wall."""
    (cpu_p10, cpu_median), (wall_p10, wall_median) = np.percentile(ms, (10, 50), axis=0).T.round(3)
    return Timing(float(cpu_p10), float(cpu_median), float(wall_p10), float(wall_median))


def machine(device: str, size: tuple[int, int], threads: int, rounds: int) -> dict[str, Any]:
    """Describe where the measurement was made."""
    import onnxruntime as ort

    name = platform.processor() or platform.machine()
    info = Path('/proc/cpuinfo')
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith('model name')]
        name = lines[0].split(':', 1)[1].strip() if lines else name
    return {
        'processor': torch.cuda.get_device_name() if device == 'cuda' else name,
        'cores': os.cpu_count(),
        'threads': threads,
        'size': f'{size[0]}x{size[1]}',
        'engine': f'torch {torch.__version__}'
        if device == 'cuda'
        else f'onnxruntime {ort.__version__}, exported by torch {torch.__version__}',
        'rounds': rounds,
        'date': time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime()),
        'load': [round(x, 1) for x in os.getloadavg()],
        'priority': os.nice(0),
    }


def measure(  # noqa: PLR0917 - each is named below
    device: str,
    channels: list[int],
    configs: list[str],
    size: tuple[int, int],
    rounds: int,
    threads: int = 1,
) -> Latencies:
    """Measure all operators, the fusion network's rest and whole networks' rest.

    Args:
        device: 'cpu' or 'cuda'.
        channels: widths of the fusion network.
        configs: names in `models/configs`; their widths are measured too.
        size: (height, width) of the pictures, multiples of 32.
        rounds: how often each is run.
        threads: of ONNX Runtime.
    """
    found = {name: load_config(name) for name in configs}
    widths = sorted({*channels, *(config.channels for config in found.values())})
    torch.manual_seed(0)
    parts = [operators_part(c, size) for c in widths]
    parts.append(fusion_part(widths, size))
    parts += [network_part(name, config, size, empty=True) for name, config in found.items()]
    runs: dict[Key, Run] = {}
    for part in tqdm(parts, desc='export', mininterval=5):
        runs |= on_cuda(part) if device == 'cuda' else on_cpu(part, threads)
    about = machine(device, size, threads, rounds)
    times = interleave(runs, rounds)
    return Latencies(
        operators={c: {name: times[c, name] for name in OPERATORS} for c in widths},
        fusion={c: times[c] for c in widths},
        networks={name: times[name] for name in found},
        widths={name: config.channels for name, config in found.items()},
        machine=about,
    )


def main(argv: list[str] | None = None) -> int:
    """Measure and write the table; return 0, or 2 on bad input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser, *TRAINING_LIBRARIES)
    parser.add_argument('--out', type=Path, required=True, help='JSON file to write')
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--channels', default='4,8', help='widths of the fusion network')
    parser.add_argument('--configs', default='paif_nano,paif_small', help='whole networks')
    parser.add_argument('--size', type=parse_size, default=(480, 640), help='HEIGHTxWIDTH')
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--threads', type=int, default=1, help='of ONNX Runtime')
    args = parser.parse_args(argv)
    try:
        channels = [int(text) for text in args.channels.split(',')]
        if args.device == 'cuda' and not torch.cuda.is_available():
            msg = '--device cuda: torch finds none here'
            raise ValueError(msg)
        table = measure(
            args.device, channels, args.configs.split(','), args.size, args.rounds, args.threads
        )
    except (OSError, ValueError) as err:
        print(f'error: {err}', file=sys.stderr)
        return 2
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(table.to_json())
    print(summary(table))
    return 0


def summary(table: Latencies) -> str:
    """Return the table as text: milliseconds of CPU time, 10th percentile."""
    widths = sorted(table.operators)
    lines = [f'{"ms of CPU time, p10":22s}' + ''.join(f'{f"{c} ch":>9s}' for c in widths)]
    for name in OPERATORS:
        cells = ''.join(f'{table.operators[c][name].cpu_p10:9.2f}' for c in widths)
        lines.append(f'{name:22s}{cells}')
    rest = ''.join(f'{table.fusion[c].cpu_p10:9.2f}' for c in widths)
    lines.append(f'{"fusion, empty cells":22s}{rest}')
    for name, found in table.networks.items():
        lines.append(f'{name + ", empty cells":30s}{found.cpu_p10:9.2f}')
    return '\n'.join(lines)


if __name__ == '__main__':
    sys.exit(main())
