"""The thermal frame in the RGB frame: calibration, maps, and how to find them."""
