"""Top-k selective vision alignment: the external patches most like a target domain, drawn to it.

Source: Shi et al., "CrossFuse", IEEE TCSVT 2025 (spec section 3). Command:
`python -m models.vision_alignment`.
"""

from models.vision_alignment.align import Alignment
from models.vision_alignment.domain import Domain
from models.vision_alignment.errors import AlignmentError
from models.vision_alignment.gamma import apply_tables, fit_gammas, gamma_tables
from models.vision_alignment.settings import Card, Settings
from models.vision_alignment.storage import read_aligned, writer_for

__all__ = [
    'Alignment',
    'AlignmentError',
    'Card',
    'Domain',
    'Settings',
    'apply_tables',
    'fit_gammas',
    'gamma_tables',
    'read_aligned',
    'writer_for',
]
