"""RoadScene (Xu et al., "FusionDN", AAAI 2020; U2Fusion, TPAMI 2022): 221 pairs, no labels.

Layout, from its repository (github.com/hanna-xu/RoadScene): `cropinfrared/NAME.jpg` with
`crop_LR_visible/NAME.jpg` of the same size, and `crop_HR_visible/NAME.jpg`, larger and of another
aspect. Where only the last is there, it is brought to the thermal size, which gives
crop_LR_visible to within 1.7 grey levels (measured for ../shared/data, see its README, section 3).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.datasets.pair import Bytes
from models.datasets.reader import Listing, Reader, Sample, partners

THERMAL, LOW, HIGH = 'cropinfrared', 'crop_LR_visible', 'crop_HR_visible'


class RoadSceneReader(Reader):
    """Reads RoadScene; labels are 255 everywhere."""

    name = 'roadscene'
    layout = 'cropinfrared/NAME.jpg with crop_LR_visible/NAME.jpg or crop_HR_visible/NAME.jpg'

    def matches(self, folder: Path) -> bool:  # noqa: D102
        return (folder / THERMAL).is_dir() and any((folder / k).is_dir() for k in (LOW, HIGH))

    def listing(self, folder: Path, split: str) -> Listing:  # noqa: D102
        self.parts(folder, split)
        return partners(folder, (LOW if (folder / LOW).is_dir() else HIGH, THERMAL))

    def sizes(self, sample: Sample) -> dict[str, tuple[int, int]]:  # noqa: D102
        found = super().sizes(sample)
        return found if sample.visible.parent.name == LOW else {'visible': found['thermal']}

    def pictures(self, sample: Sample) -> tuple[Bytes, Bytes]:  # noqa: D102
        from PIL import Image

        visible, thermal = super().pictures(sample)
        if visible.shape[:2] != thermal.shape:  # only crop_HR_visible gets here, see sizes()
            small = Image.fromarray(visible).resize(
                (thermal.shape[1], thermal.shape[0]), Image.Resampling.LANCZOS
            )
            visible = np.array(small, np.uint8)
        return visible, thermal
