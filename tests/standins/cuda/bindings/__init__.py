"""Takes the place of NVIDIA's bindings."""
