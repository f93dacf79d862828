"""UAAFusion and CrossFuse are only other model files to the node: the shipped ones, on a graph."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs ROS 2 (or its wheels) in this Python')

from ros_checks import START, assert_balanced, assert_clean
from ros_rig import Rig, image, pixels_of

from paif_ros.engines.onnxruntime import OnnxRuntimeEngine

ROOT = Path(__file__).parents[1]
PAIRS = ROOT / 'tests' / 'data' / 'pairs'


@pytest.mark.parametrize('network', ['uaafusion', 'crossfuse'])
def test_the_node_publishes_what_the_file_computes(network: str) -> None:
    model = ROOT / 'models' / 'weights' / f'{network}_small.onnx'
    name = min(path.name for path in (PAIRS / 'vi').iterdir())
    visible = np.asarray(cv2.imread(str(PAIRS / 'vi' / name))[..., ::-1], np.uint8)
    thermal = np.asarray(cv2.imread(str(PAIRS / 'ir' / name), cv2.IMREAD_GRAYSCALE), np.uint8)
    with Rig(model, ('fused', 'mask')) as rig:
        rig.send(image(visible, START, 'rgb_optical'), image(thermal, START, 'thermal'))
        rig.until(lambda: bool(rig.got['fused'] and rig.got['mask']), 60.0)
        rig.spin(0.3)
        assert rig.values()['model.network'] == network
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
    assert expected.fused.std() > 10
    assert len(np.unique(expected.mask)) > 1
