"""The node on a real graph, from the camera's stamp to the result in another process."""
