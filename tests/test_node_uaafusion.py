"""UAAFusion is only another model file to the node: an exported one, on a real ROS 2 graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')
torch = pytest.importorskip('torch', reason='torch is a development dependency')
pytest.importorskip('onnxscript', reason='the export is a development dependency')

from ros_checks import START, assert_balanced, assert_clean
from ros_rig import Rig, image, pixels_of

from export.to_onnx import PICTURES, export_onnx, read_pairs
from models.parity import recipe_state
from models.uaafusion.deploy import deploy
from models.uaafusion.network import UAAFusion, load_config
from paif_ros.contract import ModelCard
from paif_ros.engines.onnxruntime import OnnxRuntimeEngine

SIZE = (64, 96)


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two narrow stages of random weights; the second is led by a gradient."""
    config = replace(load_config('small'), channels=4, decoder=8, stages=2)
    network = UAAFusion(config)
    network.load_state_dict(recipe_state(network, 3))
    card = ModelCard(
        'uaafusion', 'test', config.architecture(), config.classes, SIZE, '0' * 64, '0.1.0'
    )
    path = tmp_path_factory.mktemp('uaafusion') / 'uaafusion.onnx'
    exported = export_onnx(deploy(network.eval(), SIZE), SIZE, 1, card.to_metadata())
    path.write_bytes(exported.SerializeToString())
    return path


def test_the_node_publishes_what_the_file_computes(model: Path) -> None:
    visible, thermal = read_pairs(PICTURES, SIZE)[0]
    with Rig(model, ('fused', 'mask')) as rig:
        rig.send(image(visible, START, 'rgb_optical'), image(thermal, START, 'thermal'))
        rig.until(lambda: bool(rig.got['fused'] and rig.got['mask']), 30.0)
        rig.spin(0.3)
        assert rig.values()['model.network'] == 'uaafusion'
        assert_balanced(rig)
        assert_clean(rig.stop())
    engine = OnnxRuntimeEngine(model, threads=1)
    engine.load()
    expected = engine.infer(visible, thermal)
    engine.close()
    fused, mask = rig.got['fused'][0], rig.got['mask'][0]
    assert fused.header.frame_id == mask.header.frame_id == 'rgb_optical'
    np.testing.assert_array_equal(pixels_of(fused), expected.fused)
    np.testing.assert_array_equal(pixels_of(mask), expected.mask)
    assert expected.fused.std() > 1
