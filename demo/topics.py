"""The topics between the demo's processes."""

from __future__ import annotations

NODE = 'fusion'
FUSED = f'/{NODE}/fused/image'
FUSED_INFO = f'/{NODE}/fused/camera_info'
MASK = f'/{NODE}/segmentation/mask'
OVERLAY = f'/{NODE}/segmentation/overlay'
DIAGNOSTICS = '/diagnostics'
IMAGE, INFO = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CameraInfo'
DIAGNOSTIC_ARRAY = 'diagnostic_msgs/msg/DiagnosticArray'
OUTPUTS = {FUSED: IMAGE, FUSED_INFO: INFO, MASK: IMAGE, OVERLAY: IMAGE}
