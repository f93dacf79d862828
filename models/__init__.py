"""The networks of paif_ros, with what trains, checks and transforms them. Never installed on a robot."""
