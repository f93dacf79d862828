"""Readers of training data: one module per data set, all giving lists of `LabelledPair`."""

from models.datasets.errors import DatasetError, DatasetProblems
from models.datasets.pair import LabelledPair
from models.datasets.registry import find_reader, open_dataset

__all__ = ['DatasetError', 'DatasetProblems', 'LabelledPair', 'find_reader', 'open_dataset']
