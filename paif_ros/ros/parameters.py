"""The parameters of parameters.yaml on a ROS 2 node: declared once, changes checked."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

from paif_ros.errors import ParameterError
from paif_ros.parameters import Parameters, Spec, specs
from paif_ros.ros.qos import given


class NodeParameters:
    """Declares every parameter on a node and holds their present values.

    `current` is replaced as a whole by each accepted change, so another thread that reads it once
    per pair always has values that belong together.

    Args:
        node: the node that owns the parameters.

    Raises:
        ParameterError: a value given at start is not allowed.
    """

    def __init__(self, node: Node) -> None:
        self._specs = specs()
        self._values = {spec.name: _declare(node, spec) for spec in self._specs.values()}
        self.current = Parameters.from_values(self._values)
        self._node = node
        self._own: dict[str, str] = {}
        node.add_on_set_parameters_callback(self._change)

    def publish(self, name: str, text: str, description: str) -> None:
        """Show a text of the node's own as a parameter that nobody else can change."""
        self._node.declare_parameter(
            name, text, ParameterDescriptor(description=description), ignore_override=True
        )
        self._own[name] = text

    def withdraw(self, name: str) -> None:
        """Take such a parameter away again, if it is there."""
        if self._own.pop(name, None) is not None:
            self._node.undeclare_parameter(name)

    def _change(self, changes: list[Any]) -> SetParametersResult:
        values = dict(self._values)
        try:
            for change in changes:
                if change.name in self._own and change.value != self._own[change.name]:
                    raise ParameterError(change.name, change.value, 'only what the node says')
                if change.name in self._specs:  # others, such as use_sim_time, are rclpy's
                    self._specs[change.name].check(change.value)
                    values[change.name] = change.value
            current = Parameters.from_values(values)
        except ParameterError as err:
            return SetParametersResult(successful=False, reason=str(err))
        self._values, self.current = values, current
        return SetParametersResult(successful=True)


def strangers(node: Node) -> list[str]:
    """Return what was given at the start and no one declared, with the nearest name, in words."""
    known = list(specs())
    return [
        f'{name} (is it {near[0]}?)' if (near := get_close_matches(name, known, 1)) else name
        for name in given(node)
        if not node.has_parameter(name) and not name.startswith('qos_overrides.')
    ]


def _declare(node: Node, spec: Spec) -> Any:
    try:
        value = node.declare_parameter(spec.name, spec.default, _descriptor(spec)).value
    except (InvalidParameterTypeException, InvalidParameterValueException) as err:
        value = given(node)[spec.name].value if spec.name in given(node) else spec.default
        allowed = spec.allowed
        if spec.type == 'double' and type(value) is int:
            allowed += f'; ROS wants a point in it: {value}.0'
        raise ParameterError(spec.name, value, allowed) from err
    spec.check(value)
    return value


def _descriptor(spec: Spec) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=spec.description,
        additional_constraints=f'{spec.allowed}. {spec.taken}'.rstrip(),
        read_only=spec.read_only,
    )
    if spec.bounds and spec.type == 'double':
        low, high = spec.bounds
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(low), to_value=float(high))
        ]
    elif spec.bounds:
        low, high = spec.bounds
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor
