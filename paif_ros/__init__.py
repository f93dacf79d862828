"""Thermal and visible camera fusion and segmentation: the runtime that a robot installs.

The packages that the hot path goes through, in order: `cameras` (messages taken in), `sync` (two
streams to pairs), `images` (message to array), `thermal` (16 bit to 8), `registration` (into the
RGB frame), `engines` (the network), `pictures` (masks, overlays). `fusion` joins them for a pair,
`node` and `ros` put them on a ROS 2 graph. Nothing here imports torch; only `node`, `main`, `ros`
and the live pictures of `registration.alignment` import rclpy and messages.
"""

__version__ = '0.1.0'
