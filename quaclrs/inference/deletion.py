"""Take parts of a sound away at random and regress what an answer loses: the heat of `explain`, of any model."""

from __future__ import annotations

import torch

from ..models import LogMelConfig
from .cells import BANDS, DELETED, STEPS, Cells
from .faithfulness import hottest_tenth, margins_without
from .pytorch import TorchClassifier

#: Random deletions: cells on a side of a block, and the share of blocks that a draw deletes. Large blocks find an
#: event; a steady sound loses little by a block, and single cells show what it needs.
_BLOCKS = ((2, 0.2), (1, 0.1))

#: Draws of each kind, and how many at once.
_DRAWS, _AT_ONCE = 64, 16

#: Deviations of the similarity of cells, in cells.
_REACHES = (0.5, 0.8, 1.2)

#: Variance of the margin that deletions do not explain, as a share of what they do.
_NOISE = 0.3


def worth_of_cells(
    classifier: TorchClassifier, waveform: torch.Tensor, log_mel: torch.Tensor, place: int, seed: int = 0
) -> torch.Tensor:
    """Regress the loss of a class's margin over the others on random deletions of cells.

    Blocks of cells are deleted at random, again and again, and the margin is regressed on what was deleted, as LIME
    does (Ribeiro et al., 2016, section 3.4), with neighbouring cells alike: a Gaussian process. How large the blocks
    and how wide the neighbourhood should be depends on the sound. So nine maps are made, and that one is kept whose
    hottest tenth costs the class most.

    Args:
        classifier: whose answer.
        waveform: (samples,) on the classifier's device.
        log_mel: (n_mels, frames) of it, in [0, 1].
        place: of the class.
        seed: of the draws.

    Returns:
        (BANDS, STEPS) on the CPU, in log-odds; above 0 where a cell speaks for the class.
    """
    cells = Cells(classifier.log_mel_config, waveform.device)
    audible = _audible(classifier.log_mel_config, log_mel.cpu())
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for size, share in _BLOCKS:
        deleted = _draw(size, share, generator)
        batches = deleted.split(_AT_ONCE)
        margins = torch.cat([margins_without(classifier, cells, waveform, batch, place) for batch in batches])
        drawn.append((deleted.flatten(1), margins.mean() - margins))
    drawn.append((torch.cat([deleted for deleted, _ in drawn]), torch.cat([lost for _, lost in drawn])))
    maps = torch.stack([_regress(lost, deleted, audible, reach) for deleted, lost in drawn for reach in _REACHES])
    hottest = torch.stack([hottest_tenth(worth) for worth in maps])
    return maps[int(margins_without(classifier, cells, waveform, hottest, place).argmin())]


def _audible(front_end: LogMelConfig, log_mel: torch.Tensor) -> torch.Tensor:
    """How much of `DELETED` can be taken from each cell, in [0, 1]: little near the floor, and of silence nothing."""
    level = front_end.top_db * log_mel
    return torch.nn.functional.adaptive_avg_pool2d(level.clamp(max=DELETED)[None] / DELETED, (BANDS, STEPS)).flatten()


def _draw(size: int, share: float, generator: torch.Generator) -> torch.Tensor:
    """1 for the cells that each draw deletes (draws, BANDS, STEPS): a share of the blocks of so many cells a side."""
    blocks = torch.rand(_DRAWS, BANDS // size, STEPS // size, generator=generator) < share
    return blocks.float().repeat_interleave(size, 1).repeat_interleave(size, 2)


def _regress(lost: torch.Tensor, deleted: torch.Tensor, audible: torch.Tensor, reach: float) -> torch.Tensor:
    """Loss by each cell (BANDS, STEPS), cells a few `reach` apart being alike."""
    deletions = deleted * audible
    deletions = deletions - deletions.mean(0)
    places = torch.cartesian_prod(torch.arange(BANDS), torch.arange(STEPS)).float()
    alike = torch.exp(-torch.cdist(places, places).square() / (2 * reach**2))
    explained = deletions @ alike @ deletions.T
    noise = _NOISE * explained.diag().mean() * torch.eye(len(explained))
    worth = alike @ deletions.T @ torch.linalg.solve(explained + noise, lost)
    return (audible * worth).unflatten(0, (BANDS, STEPS))
