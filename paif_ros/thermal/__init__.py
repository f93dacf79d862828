"""Thermal frames to the 8 bit picture that the models take."""
