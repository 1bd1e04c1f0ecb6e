"""How far an explanation can be believed: what the answer loses without the cells that it points at.

The test of Samek et al., 2017 ("Evaluating the Visualization of What a Deep Neural Network Has Learned"), on sound: a
tenth of the cells is made quieter, those with most heat first, then, for comparison, as many at random.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch

from .cells import BANDS, DELETED, STEPS, Cells
from .pytorch import TorchClassifier

#: Random deletions.
_DRAWS = 16


@dataclass(frozen=True)
class Faithfulness:
    """Log-odds of an answer with the whole sound and without a tenth of its cells.

    Attributes:
        whole: with all of it.
        without_most_heat: without the tenth with most heat.
        without_random: without a tenth at random, mean of sixteen draws.
    """

    whole: float
    without_most_heat: float
    without_random: float

    @property
    def scores(self) -> dict[str, float]:
        """Scores in [0, 1] of these log-odds, by attribute."""
        return {name: 1 / (1 + math.exp(-min(max(odds, -500), 500))) for name, odds in asdict(self).items()}

    @property
    def difference(self) -> float:
        """By how much the cells with most heat cost the answer more than cells at random; above 0 for true heat."""
        return self.without_random - self.without_most_heat


def measure_faithfulness(
    classifier: TorchClassifier, waveform: torch.Tensor, heat: np.ndarray, place: int, seed: int = 0
) -> Faithfulness:
    """Delete cells of a sound, and hear what becomes of an answer.

    Args:
        classifier: whose answer.
        waveform: (samples,) as the classifier hears it, on its device.
        heat: (n_mels, frames), as of `explain`.
        place: of the answer's class.
        seed: of the random draws.
    """
    generator = np.random.default_rng(seed)
    of_cells = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(heat)[None], (BANDS, STEPS))[0]
    random = [hottest_tenth(torch.from_numpy(generator.random((BANDS, STEPS)))) for _ in range(_DRAWS)]
    deleted = torch.stack([torch.zeros(BANDS, STEPS), hottest_tenth(of_cells), *random])
    margins = margins_without(classifier, Cells(classifier.log_mel_config, waveform.device), waveform, deleted, place)
    return Faithfulness(float(margins[0]), float(margins[1]), float(margins[2:].mean()))


def hottest_tenth(of_cells: torch.Tensor) -> torch.Tensor:
    """1 for the tenth of the cells (BANDS, STEPS) with the largest values, but for values of 0 and below; else 0."""
    values = of_cells.flatten()
    hottest = torch.zeros(len(values))
    hottest[values.argsort(descending=True, stable=True)[: len(values) // 10]] = 1.0
    return (hottest * (values > 0)).unflatten(0, (BANDS, STEPS))


@torch.no_grad()
def margins_without(
    classifier: TorchClassifier, cells: Cells, waveform: torch.Tensor, deleted: torch.Tensor, place: int
) -> torch.Tensor:
    """Log-odds of a class's score where cells are deleted, from the logits: a score near 1 would round them away.

    Args:
        classifier: whose score.
        cells: of waveforms of this length, on their device.
        waveform: (samples,).
        deleted: (draws, BANDS, STEPS) on the CPU, 1 where a cell is deleted.
        place: of the class.

    Returns:
        (draws,) on the CPU.
    """
    heard = cells.with_gains(waveform, -DELETED * deleted.to(waveform.device))
    logits = classifier.model(input_values=heard).logits.cpu()
    if classifier.model.config.is_multi_label:
        return logits[:, place]
    others = torch.cat([logits[:, :place], logits[:, place + 1 :]], dim=1)
    return logits[:, place] - others.logsumexp(1)
