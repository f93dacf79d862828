"""The classes as JSON text and as LabelInfo."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import tiny_model

from paif_ros.contract import MAX_CLASSES, ClassLabel
from paif_ros.pictures.labels import classes_json, label_info_message

VISION_CLASS = 'uint16 class_id\nstring class_name\n'
LABEL_INFO = 'std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n'


def test_json() -> None:
    assert json.loads(classes_json(tiny_model.CLASSES))[1] == {
        'id': 1,
        'name': 'car',
        'color': [0, 120, 255],
    }
    assert len(json.loads(classes_json(tiny_model.CLASSES))) == 3


def test_no_message_without_vision_msgs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'vision_msgs', None)
    monkeypatch.setitem(sys.modules, 'vision_msgs.msg', None)
    assert label_info_message(tiny_model.CLASSES) is None
    old = ModuleType('vision_msgs.msg')  # of Foxy: without LabelInfo
    monkeypatch.setitem(sys.modules, 'vision_msgs.msg', old)
    monkeypatch.setitem(sys.modules, 'vision_msgs', ModuleType('vision_msgs'))
    assert label_info_message(tiny_model.CLASSES) is None


def test_message_serializes_as_the_definition_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without vision_msgs, its .msg definitions decide: rosbags makes and serializes them."""
    typesys = pytest.importorskip('rosbags.typesys', reason='rosbags is a demo dependency')
    store = typesys.get_typestore(typesys.Stores.ROS2_HUMBLE)
    for name, text in (('VisionClass', VISION_CLASS), ('LabelInfo', LABEL_INFO)):
        store.register(typesys.get_types_from_msg(text, f'vision_msgs/msg/{name}'))
    types = store.types
    stamp = types['builtin_interfaces/msg/Time'](sec=7, nanosec=8)
    header = types['std_msgs/msg/Header'](stamp=stamp, frame_id='camera')
    module = ModuleType('vision_msgs.msg')
    module.VisionClass = types['vision_msgs/msg/VisionClass']
    # rclpy's messages have defaults, those of rosbags want every field.
    module.LabelInfo = lambda: SimpleNamespace(header=None, class_map=[], threshold=0.0)
    monkeypatch.setitem(sys.modules, 'vision_msgs', ModuleType('vision_msgs'))
    monkeypatch.setitem(sys.modules, 'vision_msgs.msg', module)

    classes = [ClassLabel(n, f'c{n}', (0, 0, 0)) for n in range(MAX_CLASSES)]
    found = label_info_message(classes, header)
    kind = 'vision_msgs/msg/LabelInfo'
    message = types[kind](**vars(found))
    again = store.deserialize_cdr(store.serialize_cdr(message, kind), kind)
    assert again.header.frame_id == 'camera'
    assert [(item.class_id, item.class_name) for item in again.class_map] == [
        (label.id, label.name) for label in classes
    ]
    assert again.threshold == 0.0


@pytest.mark.skipif(
    importlib.util.find_spec('vision_msgs') is None,
    reason='vision_msgs is not installed (PyPI has none): run where ROS 2 is sourced',
)
def test_real_message() -> None:
    message = label_info_message(tiny_model.CLASSES)
    assert message is not None
    assert [item.class_name for item in message.class_map] == ['background', 'car', 'person']
