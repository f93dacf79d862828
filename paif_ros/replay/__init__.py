"""Recording in, recording out, without ROS: the node's own core on bags, films and folders."""
