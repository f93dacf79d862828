"""Thermal and visible camera fusion and segmentation: the runtime that a robot installs.

The modules that the hot path goes through, in order: `codec` (message to array), `pairing` (two
streams to pairs), `thermal` (16 bit to 8), `engines` (the network), `outputs` (masks, overlays).
`pipeline` joins them for one pair, `node` puts them on a ROS 2 graph. Nothing here imports torch;
only `node`, `main` and the two `ros_*` modules import rclpy and messages.
"""

__version__ = '0.1.0'
