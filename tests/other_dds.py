"""Cameras and listeners of Eclipse Cyclone DDS, with nothing of ROS.

The types are written down here from the .msg files; types and topics have the names that ROS gives
them on the wire. No `from __future__ import annotations`: cyclonedds reads the annotations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import array, float64, int32, sequence, uint8, uint32
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

# What CYCLONEDDS_URI takes. ROS's range LOCALHOST has no multicast, so each port is asked.
LOCAL = """<CycloneDDS><Domain>
<General>
<AllowMulticast>false</AllowMulticast>
<Interfaces><NetworkInterface name="lo"/></Interfaces>
</General>
<Discovery>
<ParticipantIndex>auto</ParticipantIndex>
<MaxAutoParticipantIndex>50</MaxAutoParticipantIndex>
<Peers><Peer address="127.0.0.1"/></Peers>
</Discovery>
</Domain></CycloneDDS>"""


@dataclass
class Time(IdlStruct, typename='builtin_interfaces::msg::dds_::Time_'):
    sec: int32
    nanosec: uint32


@dataclass
class Header(IdlStruct, typename='std_msgs::msg::dds_::Header_'):
    stamp: Time
    frame_id: str


@dataclass
class Image(IdlStruct, typename='sensor_msgs::msg::dds_::Image_'):
    header: Header
    height: uint32
    width: uint32
    encoding: str
    is_bigendian: uint8
    step: uint32
    data: sequence[uint8]


@dataclass
class CompressedImage(IdlStruct, typename='sensor_msgs::msg::dds_::CompressedImage_'):
    header: Header
    format: str
    data: sequence[uint8]


@dataclass
class RegionOfInterest(IdlStruct, typename='sensor_msgs::msg::dds_::RegionOfInterest_'):
    x_offset: uint32
    y_offset: uint32
    height: uint32
    width: uint32
    do_rectify: bool


@dataclass
class CameraInfo(IdlStruct, typename='sensor_msgs::msg::dds_::CameraInfo_'):
    header: Header
    height: uint32
    width: uint32
    distortion_model: str
    d: sequence[float64]
    k: array[float64, 9]
    r: array[float64, 9]
    p: array[float64, 12]
    binning_x: uint32
    binning_y: uint32
    roi: RegionOfInterest


class Participant:
    """Cameras and listeners in one domain.

    Args:
        domain: ROS_DOMAIN_ID.
        inputs: what it publishes: types by topic.
        outputs: what it listens to: types by topic.
        reliable: whether its publishers offer that. Its listeners ask for it always.
    """

    def __init__(
        self, domain: int, inputs: dict[str, type], outputs: dict[str, type], reliable: bool
    ) -> None:
        sure = Policy.Reliability.Reliable(duration(seconds=1))
        offered = sure if reliable else Policy.Reliability.BestEffort
        self._participant = DomainParticipant(domain)
        self._writers = {
            name: DataWriter(
                self._participant,
                self._topic(name, kind),
                Qos(offered, Policy.History.KeepLast(5)),
            )
            for name, kind in inputs.items()
        }
        self._readers = {
            name: DataReader(
                self._participant, self._topic(name, kind), Qos(sure, Policy.History.KeepLast(10))
            )
            for name, kind in outputs.items()
        }
        self.got: dict[str, list[Any]] = {name: [] for name in outputs}

    def _topic(self, name: str, kind: type) -> Topic:
        return Topic(self._participant, f'rt/{name}', kind)

    def matched(self) -> bool:
        """Whether everything has found its other side."""
        return all(w.get_matched_subscriptions() for w in self._writers.values()) and all(
            r.get_matched_publications() for r in self._readers.values()
        )

    def send(self, name: str, message: IdlStruct) -> None:
        self._writers[name].write(message)

    def take(self) -> None:
        """Add what has come in to `got`."""
        for name, reader in self._readers.items():
            self.got[name] += [one for one in reader.take(N=20) if one.sample_info.valid_data]

    def after_taking(self, condition: Callable[[], bool]) -> Callable[[], bool]:
        """Return a condition that takes what has come in before it is asked."""

        def look() -> bool:
            self.take()
            return condition()

        return look
