"""How far an explanation can be believed: what the answer loses without the cells that it points at.

The test of Samek et al., 2017 ("Evaluating the Visualization of What a Deep Neural Network Has Learned"), on sound: a
tenth of the cells is made quieter, once those with most heat and, for comparison, as many at random.
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
        """The same as scores in [0, 1], by their names here."""
        return {name: 1 / (1 + math.exp(-min(max(odds, -500), 500))) for name, odds in asdict(self).items()}

    @property
    def difference(self) -> float:
        """By how much the cells with most heat cost the answer more than cells at random; above 0 for true heat."""
        return self.without_random - self.without_most_heat


@torch.no_grad()
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
    heard = Cells(classifier.log_mel_config, waveform.device).with_gains(
        waveform, -DELETED * deleted.to(waveform.device)
    )
    margins = margin(classifier, heard, place).cpu()
    return Faithfulness(float(margins[0]), float(margins[1]), float(margins[2:].mean()))


def hottest_tenth(of_cells: torch.Tensor) -> torch.Tensor:
    """1 for the tenth of the cells (BANDS, STEPS) with the largest values, 0 for the others."""
    hottest = torch.zeros(BANDS * STEPS)
    hottest[of_cells.flatten().argsort(descending=True)[: BANDS * STEPS // 10]] = 1.0
    return hottest.unflatten(0, (BANDS, STEPS))


def margin(classifier: TorchClassifier, waveforms: torch.Tensor, place: int) -> torch.Tensor:
    """Log-odds (clips,) of a class's score, from the logits: a score near 1 would round them away."""
    logits = classifier.model(input_values=waveforms).logits
    if classifier.model.config.problem_type == "multi_label_classification":
        return logits[:, place]
    others = torch.cat([logits[:, :place], logits[:, place + 1 :]], dim=1)
    return logits[:, place] - others.logsumexp(1)
