"""Which topics are the cameras': by their type, encoding and name, and never by a guess."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from paif_ros.errors import PaifError
from paif_ros.images.encodings import LAYOUTS
from paif_ros.images.messages import is_compressed
from paif_ros.replay import messages
from paif_ros.replay.feed import CAMERA_INFO, COMPRESSED, IMAGE, Feed, TopicInfo, by_name

KINDS = (IMAGE, COMPRESSED)
ROLES = ('color', 'thermal')
DEFAULTS = {'color': 'color/image_raw', 'thermal': 'thermal/image_raw'}
GLANCE = 3000  # images and messages in which every camera should have shown up
THERMAL_WORDS = ('thermal', 'infrared', 'ir', 'lwir', 'flir', 'lepton', 'boson', 'thermography')
COLOR_WORDS = ('color', 'colour', 'rgb', 'visible', 'vis', 'eo')
OTHER_WORDS = ('depth', 'disparity', 'compresseddepth', 'infra1', 'infra2', 'mask', 'theora')
OUR_OWN = ('fused', 'segmentation', 'validity')
_SUFFIX = '/compressed'


class TopicChoiceError(PaifError):
    """The cameras' topics can't be told from the others.

    Attributes:
        role: 'color' or 'thermal'.
        candidates: topics that could be it, none where there is none.
    """

    def __init__(self, role: str, candidates: Sequence[str], text: str) -> None:
        self.role = role
        self.candidates = tuple(candidates)
        super().__init__(text)


@dataclass(frozen=True)
class Candidate:
    """One image topic.

    Attributes:
        topic: its name and type.
        content: 'colour', 'grey' or 'thermal' by its first message, '' where none was seen.
        encoding: of its first message.
    """

    topic: TopicInfo
    content: str = ''
    encoding: str = ''

    @property
    def base(self) -> str:
        """Its name without '/compressed'."""
        return self.topic.name.removesuffix(_SUFFIX)

    @property
    def text(self) -> str:
        """It in words."""
        count = '' if self.topic.count is None else f', {self.topic.count} messages'
        return f'{self.topic.name} ({self.encoding or "no message seen"}{count})'


def choose(
    feed: Feed,
    given: Mapping[str, str],
    transports: Mapping[str, str],
    ours: Sequence[str] = (),
) -> dict[str, str]:
    """Choose the topics of both cameras and of their camera_infos.

    Args:
        feed: the recording.
        given: topics by role as the user wants them ('color', 'thermal', 'color_info',
            'thermal_info'); the others are chosen.
        transports: 'raw' or 'compressed' by camera, for one that was recorded both ways.
        ours: names of topics that the node itself sends, which are no cameras.

    Returns:
        Topic by role; info roles only where there is such a topic.

    Raises:
        TopicChoiceError: there is none, or more than one could be it; it names them and the
            option to choose with.
    """
    known = by_name(feed.topics)
    chosen: dict[str, str] = {}
    for role in (*ROLES, 'color_info', 'thermal_info'):
        if name := given.get(role):
            chosen[role] = _as_given(role, name, known)
    if not all(role in chosen for role in ROLES):
        candidates = _candidates(feed, ours)
        for role in ROLES:  # the second one by what the first one leaves
            if role not in chosen:
                chosen[role] = _pick(role, candidates, chosen, transports)
    for role in ROLES:
        info = f'{role}_info'
        if info not in chosen:
            folder = chosen[role].removesuffix(_SUFFIX).rpartition('/')[0]
            beside = known.get(f'{folder}/camera_info')
            if beside is not None and beside.kind == CAMERA_INFO:
                chosen[info] = beside.name
    if chosen['color'] == chosen['thermal']:
        text = f'both cameras can not be {chosen["color"]}: see --color-topic, --thermal-topic'
        raise TopicChoiceError('thermal', [chosen['color']], text)
    return chosen


def _as_given(role: str, name: str, known: Mapping[str, TopicInfo]) -> str:
    kinds = (CAMERA_INFO,) if role.endswith('_info') else KINDS
    for full in (name, f'/{name.lstrip("/")}'):
        if full in known:
            if known[full].kind not in kinds:
                text = f'{full} is a {known[full].kind}, expected {" or ".join(kinds)}'
                raise TopicChoiceError(role, [full], text)
            return full
    fitting = sorted(topic.name for topic in known.values() if topic.kind in kinds)
    found = ', '.join(fitting) or 'none of that type'
    raise TopicChoiceError(role, fitting, f'{name} is not in the recording; there is {found}')


def _candidates(feed: Feed, ours: Sequence[str]) -> list[Candidate]:
    """Return the image topics that may be a camera, with what their first message shows."""
    images = {
        topic.name: topic
        for topic in feed.topics
        if topic.kind in KINDS
        and topic.count != 0
        and topic.name.removesuffix(_SUFFIX) not in ours
        and not _words(topic.name) & {*OTHER_WORDS, *OUR_OWN}
    }
    seen: dict[str, Candidate] = {}
    for item in islice(feed.messages(images), GLANCE):
        name = item.topic.name
        if name not in seen:
            seen[name] = _looked_at(item.topic, item.message, item.data)
        if len(seen) == len(images):
            break
    return [seen.get(name, Candidate(topic)) for name, topic in images.items()]


def _looked_at(topic: TopicInfo, message: Any, data: bytes) -> Candidate:
    try:
        image = messages.read(data, topic.kind) if message is None else message
    except Exception:  # rosbags raises what comes: then it is judged by its name
        return Candidate(topic)
    if is_compressed(image):
        return Candidate(topic, *_content_of_compressed(image))
    layout = LAYOUTS.get(image.encoding)
    if layout is None:
        return Candidate(topic, '', image.encoding)
    if image.encoding.startswith('bayer') or layout.channels > 1:
        return Candidate(topic, 'colour', image.encoding)
    return Candidate(topic, 'thermal' if layout.size > 1 else 'grey', image.encoding)


def _content_of_compressed(image: object) -> tuple[str, str]:
    from paif_ros.errors import ImageFormatError
    from paif_ros.images.compressed import is_false_colour
    from paif_ros.images.picture_headers import read_header

    form = getattr(image, 'format', '')
    try:
        colour = is_false_colour(image)  # type: ignore[arg-type]
        header = read_header(bytes(getattr(image, 'data', b'')))
    except ImageFormatError:
        return '', form
    if colour:
        return 'colour', form
    deep = header.decoded_bytes > header.width * header.height
    return ('thermal' if deep else 'grey'), form


def _pick(
    role: str,
    candidates: Sequence[Candidate],
    chosen: Mapping[str, str],
    transports: Mapping[str, str],
) -> str:
    taken = {name.removesuffix(_SUFFIX) for name in chosen.values()}
    free = [c for c in candidates if c.base not in taken]
    for rule in (_named_as_ours, _named_and_fitting, _fitting, _named):
        bases = {c.base for c in free if rule(role, c)}
        if len(bases) == 1:
            (base,) = bases
            both = [c.topic.name for c in candidates if c.base == base]
            wanted = base + (_SUFFIX if transports.get(role) == 'compressed' else '')
            return wanted if wanted in both else both[0]
        if bases:
            free = [c for c in free if c.base in bases]
            break
    option = f'--{role}-topic'
    told = '; '.join(c.text for c in free)
    if not free:
        text = (
            f'no topic of the {role} camera: the recording has no image topic left that could be '
            f'it. If it is there, name it with {option}'
        )
    elif len(free) == 1:
        text = f'{told} does not look like the {role} camera: if it is, say {option}'
    else:
        text = f'{len(free)} topics could be the {role} camera: {told}. Choose with {option}'
    raise TopicChoiceError(role, [c.topic.name for c in free], text)


def _named_as_ours(role: str, candidate: Candidate) -> bool:
    """Whether it is the node's own input topic."""
    return candidate.base.lstrip('/') == DEFAULTS[role]


def _fitting(role: str, candidate: Candidate) -> bool:
    """Whether its pictures can be of that camera and of no other."""
    if role == 'thermal':
        return candidate.content == 'thermal' and not _words(candidate.base) & {*COLOR_WORDS}
    return candidate.content == 'colour' and not _words(candidate.base) & {*THERMAL_WORDS}


def _named(role: str, candidate: Candidate) -> bool:
    own, other = (THERMAL_WORDS, COLOR_WORDS)[:: 1 if role == 'thermal' else -1]
    words = _words(candidate.base)
    return bool(words & {*own}) and not words & {*other}


def _named_and_fitting(role: str, candidate: Candidate) -> bool:
    return _named(role, candidate) and _fitting(role, candidate)


def _words(name: str) -> set[str]:
    return set(_parts(name))


def _parts(name: str) -> Iterable[str]:
    return (part for part in re.split(r'[^a-z0-9]+|(?<=[a-z])(?=\d)', name.lower()) if part)
