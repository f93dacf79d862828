"""The node's side that knows ROS: topics, QoS, parameters, life cycle."""
