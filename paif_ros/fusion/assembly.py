"""Puts a pipeline together as the parameters say."""

from __future__ import annotations

from paif_ros.engines import TensorRtOptions, make_engine
from paif_ros.fusion.pipeline import Pipeline
from paif_ros.parameters import Parameters
from paif_ros.registration.calibration import load as load_calibration
from paif_ros.registration.registration import Registration


def pipeline_of(values: Parameters) -> Pipeline:
    """Return a pipeline, its engine not yet loaded.

    Args:
        values: the parameters; model_path is set.

    Raises:
        EngineError: the engine's settings do not go together.
        CalibrationError: the calibration can't be read.
    """
    engine, registration = values.engine, values.registration
    calibration = None
    if registration.mode != 'none':
        calibration = load_calibration(registration.file)
    return Pipeline(
        make_engine(
            engine.backend,
            values.model_path,
            engine.threads,
            engine.provider,
            TensorRtOptions.of(engine),
            pinning=engine.pinning,
        ),
        Registration(registration.mode, calibration),
    )
