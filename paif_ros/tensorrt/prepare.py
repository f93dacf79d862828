"""From an ONNX file to an engine that may be used: out of the cache, or built and compared.

Both the node and export/to_trt.py call `prepare`; there is no other way into the cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paif_ros.contract import ModelCard
from paif_ros.engines.base import Engine
from paif_ros.errors import EngineError, EngineMismatch
from paif_ros.tensorrt import library, preflight
from paif_ros.tensorrt.builder import BuildOptions, Progress
from paif_ros.tensorrt.cache import Cache, Kept
from paif_ros.tensorrt.fingerprint import ENGINE, Fingerprint
from paif_ros.tensorrt.model_file import Model, read_model, with_safer_forms
from paif_ros.tensorrt.parity import Pair, find_pairs
from paif_ros.tensorrt.trial import Surroundings, try_out

if TYPE_CHECKING:
    from paif_ros.tensorrt.cuda import Device

REBUILD, REFUSE = 'rebuild', 'refuse'
ON_MISMATCH = (REBUILD, REFUSE)


class ParityError(EngineError):
    """No engine that could be built answers as FP32 does.

    Attributes:
        report: what was tried and measured, as JSON can hold it.
    """

    def __init__(self, kind: str, reason: str, report: dict[str, Any]) -> None:
        self.report = report
        super().__init__(kind, reason)


@dataclass(frozen=True)
class Prepared:
    """An engine that may be used.

    Attributes:
        plan: its bytes.
        card: metadata of the model that was asked for.
        fingerprint: what it serves.
        precision: what it computes in: the model's, or that of a safer one in its place.
        path: where it is kept; None where the cache can't be written.
        cached: whether it was there already.
        report: what was measured when it was built, as JSON can hold it.
    """

    plan: bytes
    card: ModelCard
    fingerprint: Fingerprint
    precision: str
    path: Path | None
    cached: bool
    report: dict[str, Any]


def prepare(  # noqa: PLR0917 - as the engine and the script call it
    model_path: Path | str,
    options: BuildOptions,
    module: Any,
    device: Device,
    cache: Cache,
    notice: Callable[[str], None],
    run: Callable[[bytes], Engine],
    *,
    on_mismatch: str = REBUILD,
    again: bool = False,
    progress: Progress = lambda part, text: None,
    stop: Callable[[], bool] = lambda: False,
) -> Prepared:
    """Return an engine for a model: the kept one, or one that is built now and agrees with FP32.

    Args:
        model_path: ONNX file; `*.parity.npz` with FP32 answers must lie beside it.
        options: how to build.
        module: the library, from `library.find`.
        device: the GPU.
        cache: where engines are kept.
        notice: told in sentences what happens, also what is wrong with a kept engine.
        run: loads a plan as an engine. It is closed here before this returns.
        on_mismatch: 'rebuild' or 'refuse', where an engine of this model is kept that does not
            serve here: another TensorRT, another GPU, a new export, or broken. The first engine of
            a model is built in any case.
        again: whether to try what an earlier start found not to agree with FP32.
        progress: see `builder.build`.
        stop: asked whether to give up.

    Raises:
        EngineMismatch: the model does not keep the contract; or a kept engine does not serve here,
            it names the fields, and `on_mismatch` is 'refuse'.
        ParityError: no engine that could be built agrees with FP32. Nothing is kept.
        EngineError: whatever else is in the way, and what to do.
        BuildStopped: `stop` said so.
    """
    if on_mismatch not in ON_MISMATCH:
        msg = f'on_mismatch is {on_mismatch!r}, not one of {ON_MISMATCH}'
        raise ValueError(msg)
    model = read_model(model_path)
    around = Surroundings(module, device, options, notice, run, progress, stop)
    wanted = Fingerprint.of(model.data, model.card, options, module, device)
    kept, complaint = _look(cache, wanted, model)
    if kept is not None:
        return _from_cache(kept, model, cache, wanted)
    if complaint is not None:
        if on_mismatch == REFUSE:
            raise complaint
        notice(f'{complaint}: it is built again now')
    pairs = find_pairs(model.path, model.card)  # without them no minute is spent on a build
    with cache.lock(wanted, notice, stop) as held:
        if held:  # another process may have built it while this one waited
            kept, _ = _look(cache, wanted, model)
            if kept is not None:
                return _from_cache(kept, model, cache, wanted)
        attempts = with_safer_forms(model)
        tried = _digest(attempts, pairs)
        refusal = None if again else cache.recall_refusal(wanted, tried)
        if refusal is not None:
            where = f'found at an earlier start; delete {cache.refusal(wanted)} to try again'
            raise ParityError(wanted.library, f'{refusal[0]} ({where})', refusal[1])
        for warning in preflight.check(module, device, len(model.data), options, cache.folder):
            notice(warning)
        try:
            return _build_and_keep(attempts, pairs, wanted, around, cache if held else None)
        except ParityError as err:
            # Only verdicts are remembered: what failed for want of memory may work another time.
            if held and all('parity' in entry for entry in err.report['attempts']):
                cache.remember_refusal(wanted, tried, err.reason, err.report)
            raise


def _look(
    cache: Cache, wanted: Fingerprint, model: Model
) -> tuple[Kept | None, EngineMismatch | None]:
    """Return the kept engine, or what is wrong with the one that comes nearest."""
    try:
        kept = cache.read(wanted)
    except EngineMismatch as err:
        return None, err
    if kept is not None:
        return kept, None
    found = cache.nearest(wanted, model.title)
    if not found:
        return None, None
    names = ', '.join(field for field, _, _ in found)
    expected = ', '.join(str(value) for _, value, _ in found)
    there = ', '.join(str(value) for _, _, value in found)
    return None, EngineMismatch(names, expected, there, *ENGINE)


def _from_cache(kept: Kept, model: Model, cache: Cache, wanted: Fingerprint) -> Prepared:
    precision = str(kept.report.get('precision', model.card.precision))
    path = cache.path(wanted)
    return Prepared(kept.plan, model.card, wanted, precision, path, True, kept.report)


def _build_and_keep(
    attempts: list[Model],
    pairs: tuple[Pair, ...],
    wanted: Fingerprint,
    around: Surroundings,
    cache: Cache | None,
) -> Prepared:
    """Build the model, and if it does not agree with FP32, safer forms of it; keep the first good.

    The engine of a safer form serves the fingerprint of the model that was asked for: the next
    start must not spend minutes to find again that the model itself does not do.
    """
    model = attempts[0]
    report: dict[str, Any] = {
        'model': model.title,
        'file': model.path.name,
        'device': wanted.device_name,
        'attempts': [],
    }
    tried: list[str] = []
    for attempt in attempts:
        if tried:
            around.notice(
                f'refused: {tried[-1]}; trying a safer one, {attempt.path.name} in '
                f'{attempt.card.precision}'
            )
        plan, reason, entry = try_out(attempt, pairs, around, cache)
        report['attempts'].append(entry)
        if plan is not None:
            report['precision'] = attempt.card.precision
            path = _keep(cache, wanted, plan, report, around)
            return Prepared(plan, model.card, wanted, attempt.card.precision, path, False, report)
        tried.append(f'{attempt.path.name} ({attempt.card.precision}): {reason}')
    kind = library.kind_of(around.module)
    raise ParityError(
        kind,
        f'no engine agrees with FP32, so none is used. {" | ".join(tried)}. '
        f'{_way_out(model, around)}',
        report,
    )


def _way_out(model: Model, around: Surroundings) -> str:
    bad = preflight.known_bad(around.module)
    known = f'{bad[0]}. ' if bad else ''
    if model.card.precision == 'fp32':
        return f'{known}Use another version of TensorRT, or set engine.backend to onnxruntime'
    return (
        f'{known}Use another version of TensorRT, put safer exports beside the model (`python '
        'export/to_onnx.py --precision safe` and `fp32`), or set engine.backend to onnxruntime'
    )


def _digest(attempts: list[Model], pairs: tuple[Pair, ...]) -> str:
    """Return a digest of everything that decides whether an engine agrees with FP32."""
    digest = hashlib.sha256()
    for attempt in attempts:
        digest.update(hashlib.sha256(attempt.data).digest())
    for pair in pairs:
        for array in (pair.visible, pair.thermal, pair.expected.fused, pair.expected.mask):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _keep(
    cache: Cache | None,
    wanted: Fingerprint,
    plan: bytes,
    report: dict[str, Any],
    around: Surroundings,
) -> Path | None:
    """Keep an engine; where that fails it is used all the same, until the process ends."""
    why = 'its folder can not be written'
    if cache is not None:
        try:
            return cache.install(wanted, plan, report)
        except EngineError as err:
            why = err.reason
    around.notice(f'the engine is used but not kept, so the next start builds it again: {why}')
    return None
