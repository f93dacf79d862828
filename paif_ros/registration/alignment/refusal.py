"""The error of the commands about what they were given: an option, a bag, a picture."""

from __future__ import annotations

from paif_ros.errors import CalibrationError


class InputError(CalibrationError):
    """An option or an input of a command that can't be used; the calibration has no part in it.

    Attributes:
        key: the option as it is typed, such as '--bag', or the kind of input.
        value: what was given.
        expected: what it should have been, or what to do next, in words.
    """

    def __init__(self, key: str, value: object, expected: str) -> None:
        super().__init__(key, value, expected)
        self.args = (f'{key} is {value!r}, expected {expected}',)
