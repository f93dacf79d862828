"""The exceptions of this package. Each carries the values that its message is made of."""

from __future__ import annotations


class PaifError(Exception):
    """Base of every error that this package raises on purpose."""


class ImageFormatError(PaifError):
    """An image message that can't be read.

    Attributes:
        field: the offending field of the message, such as 'step'.
        value: what it held.
        expected: what it should have been, in words.
    """

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field = field
        self.value = value
        self.expected = expected
        super().__init__(f'image field {field!r} is {value!r}, expected {expected}')


class EngineMismatch(PaifError):  # noqa: N818 - named for what it is, like TypeMismatch
    """A model file that does not keep the contract, or an engine that was built for another case.

    Attributes:
        field: what differs, such as 'input visible dtype' or 'library_version'.
        expected: what the contract, or this machine, asks for.
        found: what the file has.
    """

    def __init__(
        self,
        field: str,
        expected: object,
        found: object,
        subject: str = 'model',
        cure: str = 'export the model again with `python export/to_onnx.py`',
    ) -> None:
        self.field = field
        self.expected = expected
        self.found = found
        super().__init__(f'{subject} {field}: expected {expected}, found {found}; {cure}')


class EngineError(PaifError):
    """An engine that can't be loaded or run.

    Attributes:
        backend: name of the engine, such as 'onnxruntime'.
        reason: what went wrong and what to do next.
    """

    def __init__(self, backend: str, reason: str) -> None:
        self.backend = backend
        self.reason = reason
        super().__init__(f'{backend}: {reason}')


class ParameterError(PaifError):
    """A parameter outside what it may be.

    Attributes:
        name: the parameter's dotted name.
        value: the refused value.
        allowed: what is allowed, in words.
    """

    def __init__(self, name: str, value: object, allowed: str) -> None:
        self.name = name
        self.value = value
        self.allowed = allowed
        super().__init__(f'parameter {name!r} is {value!r}, allowed: {allowed}')


class CalibrationError(PaifError):
    """A calibration that can't be read, does not fit the images, or can't be estimated.

    Attributes:
        key: the offending key of the file, or the step that failed, such as 'homography'.
        value: what was found.
        expected: what it should have been, or what to do next, in words.
    """

    def __init__(self, key: str, value: object, expected: str) -> None:
        self.key = key
        self.value = value
        self.expected = expected
        super().__init__(f'calibration {key!r} is {value!r}, expected {expected}')
