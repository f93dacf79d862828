"""MFNet (Ha et al., "MFNet", IROS 2017): 1569 road pairs by day and night, 9 classes.

Layout, from the owners' reader (github.com/haqishen/MFNet-pytorch, util/MF_dataset.py) and the
README.txt in their archive, of which copies are public: `images/NAME.png` with four channels, RGB
and thermal; `labels/NAME.png` with ids 0 to 8; lists `{train,val,test,test_day,test_night}.txt` of
names. The last letter of a name is D by day and N by night. train.txt also names mirrored
pictures, NAME_flip, that the archive's make_flip.py makes: they are passed over, training mirrors
by itself.
"""

from __future__ import annotations

from pathlib import Path

from models.datasets.errors import DatasetError, LayoutError, MissingPartner
from models.datasets.pair import Bytes
from models.datasets.pictures import read_header, read_rgba
from models.datasets.reader import Listing, Reader, Sample, time_of

CLASSES = (
    'unlabeled', 'car', 'person', 'bike', 'curve', 'car_stop', 'guardrail', 'color_cone', 'bump',
)  # fmt: skip
# What a network of the project's four classes makes of the rest, as ../shared/data does.
TABLE = {
    'unlabeled': 'background',
    'curve': 'background',
    'car_stop': 'background',
    'guardrail': 'background',
    'color_cone': 'background',
    'bump': 'background',
}
FLIPPED = '_flip'


class MfnetReader(Reader):
    """Reads MFNet."""

    name = 'mfnet'
    layout = 'images/NAME.png (RGB + thermal in 4 channels), labels/NAME.png, {train,val,test}.txt'
    splits = ('train', 'val', 'test')
    classes = CLASSES
    table = TABLE

    def matches(self, folder: Path) -> bool:  # noqa: D102
        return (folder / 'images').is_dir() and (folder / 'labels').is_dir()

    def parts(self, folder: Path, split: str) -> tuple[str, ...]:
        """Return the lists of a split; test_day and test_night are parts of test."""
        if split in ('test_day', 'test_night'):
            return (split,)
        return super().parts(folder, split)

    def listing(self, folder: Path, split: str) -> Listing:  # noqa: D102
        names = {name for part in self.parts(folder, split) for name in _names(folder, part)}
        samples, problems = [], list[DatasetError]()
        for name in sorted(names):
            image, label = (folder / kind / f'{name}.png' for kind in ('images', 'labels'))
            missing = [str(path) for path in (image, label) if not path.is_file()]
            if missing:
                lists = f'{split}.txt names it, so it must be there'
                problems.append(MissingPartner(folder, f'no {" and no ".join(missing)}', lists))
            else:
                samples.append(Sample(name, image, image, label, time_of(name)))
        return Listing(tuple(samples), tuple(problems))

    def sizes(self, sample: Sample) -> dict[str, tuple[int, int]]:  # noqa: D102
        both = read_header(sample.visible, ('RGBA',), 'the picture of both cameras')
        label = read_header(sample.label or sample.visible, ('L', 'P'), 'the label')
        return {'visible': (both.height, both.width), 'label': (label.height, label.width)}

    def pictures(self, sample: Sample) -> tuple[Bytes, Bytes]:  # noqa: D102
        both = read_rgba(sample.visible)
        return both[..., :3].copy(), both[..., 3].copy()


def _names(folder: Path, part: str) -> list[str]:
    path = folder / f'{part}.txt'
    if not path.is_file():
        raise LayoutError(folder, f'it has no list {path.name}', f'expected {MfnetReader.layout}')
    names = [line.strip() for line in path.read_text(encoding='utf-8').splitlines()]
    return [name for name in names if name and not name.endswith(FLIPPED)]
