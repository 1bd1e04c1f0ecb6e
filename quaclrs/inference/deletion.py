"""What an answer loses where a part of the sound is taken away: the heat of `explain`, of any model."""

from __future__ import annotations

import torch

from ..models import LogMelConfig
from .cells import BANDS, DELETED, STEPS, Cells
from .faithfulness import hottest_tenth, margin
from .pytorch import TorchClassifier

#: Random deletions: how many cells a block has on a side, and the share of blocks that a draw deletes. Large blocks
#: find an event. A steady sound does not miss a block; single cells find what it cannot do without.
_BLOCKS = ((2, 0.2), (1, 0.1))

#: Draws of each kind, and how many at once.
_DRAWS, _AT_ONCE = 64, 16

#: How far cells are alike, as a deviation in cells.
_REACHES = (0.5, 0.8, 1.2)

#: What of a margin deletions do not explain, beside what they do.
_NOISE = 0.3


@torch.no_grad()
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
    drawn = [_delete_at_random(classifier, cells, waveform, place, *block, generator) for block in _BLOCKS]
    drawn.append((torch.cat([deleted for deleted, _ in drawn]), torch.cat([lost for _, lost in drawn])))
    maps = torch.stack([_regress(lost, deleted, audible, reach) for deleted, lost in drawn for reach in _REACHES])
    gains = -DELETED * torch.stack([hottest_tenth(worth) for worth in maps]).to(waveform.device)
    return maps[int(margin(classifier, cells.with_gains(waveform, gains), place).argmin())]


def _audible(front_end: LogMelConfig, log_mel: torch.Tensor) -> torch.Tensor:
    """How much of `DELETED` can be taken from each cell, in [0, 1]: little near the floor, and of silence nothing."""
    level = front_end.top_db * log_mel
    return torch.nn.functional.adaptive_avg_pool2d(level.clamp(max=DELETED)[None] / DELETED, (BANDS, STEPS)).flatten()


def _delete_at_random(
    classifier: TorchClassifier,
    cells: Cells,
    waveform: torch.Tensor,
    place: int,
    size: int,
    share: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which cells each draw deleted (draws, cells), and what the margin lost by it, about its mean (draws,)."""
    drawn, margins = [], []
    for _ in range(_DRAWS // _AT_ONCE):
        blocks = torch.rand(_AT_ONCE, BANDS // size, STEPS // size, generator=generator) < share
        deleted = blocks.float().repeat_interleave(size, 1).repeat_interleave(size, 2)
        heard = cells.with_gains(waveform, -DELETED * deleted.to(waveform.device))
        drawn.append(deleted.flatten(1))
        margins.append(margin(classifier, heard, place).cpu())
    of_draws = torch.cat(margins)
    return torch.cat(drawn), of_draws.mean() - of_draws


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
