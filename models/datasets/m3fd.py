"""M3FD (Liu et al., "TarDAL", CVPR 2022): 4200 pairs with boxes, no masks.

Layout of the archive M3FD_Detection, as public converters read it: `{Vis,Ir}/NAME.png` and
`Annotation/NAME.xml` (Pascal VOC boxes); M3FD_Fusion has no Annotation. Its owners publish no
split lists; where `meta/SPLIT.txt` (file names, as in github.com/JinyuanLiu-CV/TarDAL,
loader/m3fd.py) stands beside, it is used. Classes from that file. The archive was not seen.

`m3fd` gives labels of 255, for the fusion loss. `m3fd-boxes` fills the boxes: coarse on purpose, a
box around a person is half background. Not for scores.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from models.datasets.errors import AnnotationError, DatasetError, LayoutError, MissingPartner
from models.datasets.pair import Bytes
from models.datasets.reader import Listing, Reader, Sample, partners

CLASSES = ('background', 'People', 'Car', 'Bus', 'Lamp', 'Motorcycle', 'Truck')
MOST_XML = 1 << 20  # bytes of an annotation; real ones have a few thousand


class M3fdReader(Reader):
    """Reads M3FD without labels."""

    name = 'm3fd'
    layout = '{Vis,Ir}/NAME.png'
    splits = ('train', 'val', 'test')

    def matches(self, folder: Path) -> bool:  # noqa: D102
        return (folder / 'Vis').is_dir() and (folder / 'Ir').is_dir()

    def listing(self, folder: Path, split: str) -> Listing:  # noqa: D102
        listing = partners(folder, ('Vis', 'Ir'))
        if split == 'all':
            return listing
        path = folder / 'meta' / f'{self.parts(folder, split)[0]}.txt'
        if not path.is_file():
            allowed = 'M3FD has no split of its owners: take all, or write that list of names'
            raise LayoutError(folder, f'it has no meta/{path.name}', allowed)
        lines = path.read_text(encoding='utf-8').splitlines()
        wanted = {Path(line.strip()).stem for line in lines if line.strip()}
        lost = sorted(wanted - {sample.name for sample in listing.samples})
        problems: tuple[DatasetError, ...] = ()
        if lost:
            words = f'{len(lost)} names of meta/{path.name} lack a partner, such as {lost[0]!r}'
            problems = (MissingPartner(folder, words, 'each must be in Vis and in Ir'),)
        return Listing(tuple(s for s in listing.samples if s.name in wanted), problems)


class M3fdBoxesReader(M3fdReader):
    """Reads M3FD with its boxes filled, the smaller ones over the larger."""

    name = 'm3fd-boxes'
    layout = '{Vis,Ir}/NAME.png, Annotation/NAME.xml'
    classes = CLASSES
    table = {  # noqa: RUF012
        'People': 'person',
        'Car': 'car',
        'Bus': 'car',
        'Truck': 'car',
        'Motorcycle': 'bike',
        'Lamp': 'background',
    }

    def matches(self, folder: Path) -> bool:
        """Tell whether asked for by name only: the boxes are no masks."""
        return False

    def listing(self, folder: Path, split: str) -> Listing:  # noqa: D102
        listing = super().listing(folder, split)
        samples, problems = [], list(listing.problems)
        for sample in listing.samples:
            path = folder / 'Annotation' / f'{sample.name}.xml'
            if path.is_file():
                samples.append(Sample(sample.name, sample.visible, sample.thermal, path))
            else:
                words = f'{sample.name} lacks a partner in Annotation'
                problems.append(MissingPartner(folder, words, f'expected {path}'))
        return Listing(tuple(samples), tuple(problems))

    def sizes(self, sample: Sample) -> dict[str, tuple[int, int]]:  # noqa: D102
        return super().sizes(replace(sample, label=None))  # boxes have no header

    def ids(self, sample: Sample, size: tuple[int, int]) -> Bytes:  # noqa: D102
        label = np.zeros(size, np.uint8)
        boxes = read_boxes(sample.label or sample.visible, size)
        for number, (left, top, right, bottom) in sorted(boxes, key=lambda box: -_area(box[1])):
            label[top:bottom, left:right] = number
        return label


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def read_boxes(path: Path, size: tuple[int, int]) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Read the boxes of a Pascal VOC file.

    Args:
        path: of the XML.
        size: (rows, columns) of the picture.

    Returns:
        Class id in CLASSES, and (left, top, right, bottom) in pixels, right and bottom past it.

    Raises:
        AnnotationError: too long, no XML, a missing part, an unknown class, or a box outside.
    """
    if path.stat().st_size > MOST_XML:
        raise AnnotationError(path, f'{path.stat().st_size} bytes', f'allowed: {MOST_XML}')
    text = path.read_bytes()
    if b'<!DOCTYPE' in text or b'<!ENTITY' in text:  # entities can expand without end
        raise AnnotationError(path, 'a document type of its own', 'allowed: plain elements')
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without entities, see above
    except ElementTree.ParseError as err:
        raise AnnotationError(path, f'no XML: {err}', 'expected Pascal VOC boxes') from err
    boxes = []
    for thing in root.iter('object'):
        name = (thing.findtext('name') or '').strip()
        if name not in CLASSES[1:]:
            raise AnnotationError(path, f'class {name!r}', f'allowed: {", ".join(CLASSES[1:])}')
        try:
            left, top, right, bottom = (
                int(float(thing.findtext(f'bndbox/{edge}', 'nothing')))
                for edge in ('xmin', 'ymin', 'xmax', 'ymax')
            )
        except (ValueError, OverflowError) as err:
            raise AnnotationError(path, f'a box without numbers: {err}', 'expected 4') from err
        # VOC counts from 1 and includes the last pixel; a pixel beyond the edge is common.
        box = (max(left - 1, 0), max(top - 1, 0), min(right, size[1]), min(bottom, size[0]))
        if box[0] >= box[2] or box[1] >= box[3] or right > size[1] + 1 or bottom > size[0] + 1:
            found = f'a box {(left, top, right, bottom)}'
            raise AnnotationError(path, found, f'allowed: inside of {size[1]}x{size[0]}')
        boxes.append((CLASSES.index(name), box))
    return boxes
