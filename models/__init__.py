"""The networks of paif_ros, and what trains, checks and transforms them; not on a robot."""
