"""Self-supervised learning from log-mels (paper, sections 4.3 and 4.4): seven methods for any encoder.

Losses and heads are lightly's (`pip install "quaclrs[train]"`); nothing else in the package needs it.
"""

from .barlow_twins import BarlowTwins
from .base import LogMelEncoder, SSLMethod, SSLOptions, StepOutput
from .byol import BYOL
from .diagnostics import describe_collapse, diagnose
from .dino import DINO
from .moco import MoCo, MoCoV2
from .quasi_supervised import UNLABELLED, QuasiSupervised
from .simclr import SimCLR
from .swav import SwAV
from .views import Views

#: The methods by the names that `training.train_ssl` knows them by.
METHODS: dict[str, type[SSLMethod]] = {
    "simclr": SimCLR,
    "moco": MoCo,
    "moco_v2": MoCoV2,
    "byol": BYOL,
    "barlow_twins": BarlowTwins,
    "dino": DINO,
    "swav": SwAV,
}

__all__ = [
    "BYOL",
    "DINO",
    "METHODS",
    "UNLABELLED",
    "BarlowTwins",
    "LogMelEncoder",
    "MoCo",
    "MoCoV2",
    "QuasiSupervised",
    "SSLMethod",
    "SSLOptions",
    "SimCLR",
    "StepOutput",
    "SwAV",
    "Views",
    "describe_collapse",
    "diagnose",
]
