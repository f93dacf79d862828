"""Readers of training data: one module per data set, all giving lists of `LabelledPair`."""
