"""Drawn thermal and colour video of streets with exact labels: for training, tests, the demo."""

from scenes.config import CLASSES, CONDITIONS, SceneConfig
from scenes.scene import Frame, Scene

__all__ = ['CLASSES', 'CONDITIONS', 'Frame', 'Scene', 'SceneConfig']
