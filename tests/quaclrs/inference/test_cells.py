"""Cells of a sound, and heat that lies on what an answer was made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quaclrs.errors import QuaclrsError
from quaclrs.inference import deletion
from quaclrs.inference.cells import BANDS, STEPS, Cells
from quaclrs.inference.deletion import worth_of_cells
from quaclrs.inference.explain import explain
from quaclrs.inference.faithfulness import hottest_tenth, margins_without, measure_faithfulness
from quaclrs.inference.pytorch import TorchClassifier
from quaclrs.models import (
    LogMelConfig,
    LogMelSpectrogram,
    QuaclrsConfig,
    QuaclrsFeatureExtractor,
    QuaclrsForAudioClassification,
)

SHORT = LogMelConfig(duration=1.0, image_size=32)


def tone(hertz: float, first: float, last: float) -> torch.Tensor:
    seconds = torch.arange(48_000) / 48_000
    return 0.3 * torch.sin(2 * torch.pi * hertz * seconds) * ((seconds >= first) & (seconds < last))


def test_gains_of_nought_leave_a_sound_as_it_is() -> None:
    sound = torch.randn(48_000, generator=torch.Generator().manual_seed(0))
    same = Cells(SHORT).with_gains(sound, torch.zeros(2, BANDS, STEPS))
    torch.testing.assert_close(same, sound.expand(2, -1), atol=1e-4, rtol=1e-4)


def test_a_cell_that_is_deleted_takes_its_sound_and_leaves_the_rest() -> None:
    low, high = tone(300, 0.0, 1.0), tone(3000, 0.0, 1.0)
    gains = torch.zeros(1, BANDS, STEPS)
    gains[:, BANDS // 2 :, : STEPS // 2] = -40.0  # the upper half of the band in the first half of the time

    left = Cells(SHORT).with_gains(low + high, gains)[0]

    early, late = slice(4_800, 19_200), slice(28_800, 43_200)
    assert (left[early] - low[early]).square().mean() < 1e-3 * high.square().mean()
    torch.testing.assert_close(left[late], (low + high)[late], atol=1e-3, rtol=1e-3)


class ToneDetector(torch.nn.Module):
    """Logits of two classes: the level of what lies at 3 kHz from 0.5 to 0.75 s, and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.config = QuaclrsConfig(backbone="resnet18")
        self.template = tone(3000, 0.5, 0.75)

    def forward(self, input_values: torch.Tensor):
        heard = (input_values @ self.template) / self.template.square().sum()
        logits = torch.stack([5 * heard, torch.ones(len(heard))], dim=1)
        return type("Output", (), {"logits": logits})


def test_heat_lies_on_the_only_cells_that_count() -> None:
    noise = 0.05 * torch.randn(48_000, generator=torch.Generator().manual_seed(0))
    sound = tone(3000, 0.5, 0.75) + tone(400, 0.0, 1.0) + noise
    detector = type("Classifier", (), {"log_mel_config": SHORT, "model": ToneDetector()})()

    log_mel = LogMelSpectrogram(SHORT)(sound[None])[0]

    worth = worth_of_cells(detector, sound, log_mel, 0).clamp(min=0)

    mel = 2595 * np.log10(1 + 3000 / 700) / (2595 * np.log10(1 + 8000 / 700))
    band = int(mel * BANDS)
    near = worth[band - 2 : band + 3, STEPS // 2 - 1 : 3 * STEPS // 4 + 1].sum()
    assert near > 0.5 * worth.sum()
    assert abs(int(worth.argmax()) // STEPS - band) <= 1


def test_a_model_of_several_encoders_is_explained_and_other_methods_say_that_they_cannot() -> None:
    options = {"backbone": "mobilenetv3_small_050", "log_mel": SHORT.to_dict()}
    torch.manual_seed(0)
    model = QuaclrsForAudioClassification(QuaclrsConfig(**options, more_encoders=[dict(options)], num_labels=3)).eval()
    classifier = TorchClassifier(model, QuaclrsFeatureExtractor(SHORT.to_dict()))
    sound = tone(1000, 0.2, 0.4).numpy()

    found = explain(classifier, sound, 48_000)

    assert found.heat.shape == found.log_mel.shape == (128, 94)
    assert found.score == pytest.approx(classifier.predict(sound, 48_000)[0]["score"], abs=1e-6)
    with pytest.raises(QuaclrsError, match="grad-cam is for models of one encoder"):
        explain(classifier, sound, 48_000, method="grad-cam")


def test_an_explanation_is_faithful_where_its_heat_lies_on_what_the_answer_was_made_of() -> None:
    sound = tone(3000, 0.5, 0.75) + tone(400, 0.0, 1.0)
    detector = type("Classifier", (), {"log_mel_config": SHORT, "model": ToneDetector()})()
    heat = np.zeros((SHORT.n_mels, 94), dtype=np.float32)
    mel = 2595 * np.log10(1 + 3000 / 700) / (2595 * np.log10(1 + 8000 / 700))
    rows, columns = slice(int((mel - 0.1) * 128), int((mel + 0.1) * 128)), slice(94 // 2, 3 * 94 // 4)

    heat[rows, columns] = 1.0
    true = measure_faithfulness(detector, sound, heat, 0)
    heat[rows, columns], heat[rows, : 94 // 4] = 0.0, 1.0
    false = measure_faithfulness(detector, sound, heat, 0)

    assert true.whole == pytest.approx(5 - 1, abs=0.05)  # the logit of the tone, less that of the other class
    assert true.without_most_heat < 0.2 < 2 < true.without_random
    assert true.difference > 2 and false.difference < 0
    assert true.scores["whole"] == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-3)


def test_of_several_labels_a_clip_the_log_odds_are_the_logit() -> None:
    detector = type("Classifier", (), {"log_mel_config": SHORT, "model": ToneDetector()})()
    detector.model.config.problem_type = "multi_label_classification"
    sound, nothing = tone(3000, 0.5, 0.75), torch.zeros(1, BANDS, STEPS)
    assert margins_without(detector, Cells(SHORT), sound, nothing, 0).item() == pytest.approx(5, abs=0.01)


def test_the_hottest_tenth_is_of_cells_with_heat_and_none_where_there_is_none() -> None:
    heat = torch.rand(BANDS, STEPS, generator=torch.Generator().manual_seed(0))
    hottest = hottest_tenth(heat)
    assert hottest.sum() == 25 and heat[hottest == 1].min() > heat[hottest == 0].max()
    few = torch.zeros(BANDS, STEPS)
    few[3, 4:8] = 1.0
    assert torch.equal(hottest_tenth(few), few)
    assert not hottest_tenth(torch.zeros(BANDS, STEPS)).any()


def test_without_heat_an_explanation_is_not_faithful() -> None:
    detector = type("Classifier", (), {"log_mel_config": SHORT, "model": ToneDetector()})()
    found = measure_faithfulness(detector, tone(3000, 0.5, 0.75), np.zeros((SHORT.n_mels, 94), dtype=np.float32), 0)
    assert found.without_most_heat == found.whole and found.difference <= 0


def test_of_nine_maps_the_one_is_kept_whose_hottest_tenth_costs_the_answer_most(monkeypatch) -> None:
    detector = type("Classifier", (), {"log_mel_config": SHORT, "model": ToneDetector()})()
    maps = iter(torch.rand(9, BANDS, STEPS, generator=torch.Generator().manual_seed(0)))
    made, sound = [], tone(3000, 0.5, 0.75)
    monkeypatch.setattr(deletion, "_regress", lambda *_: made.append(next(maps)) or made[-1])

    kept = worth_of_cells(detector, sound, LogMelSpectrogram(SHORT)(sound[None])[0], 0)

    heard = Cells(SHORT).with_gains(sound, -40.0 * torch.stack([hottest_tenth(one) for one in made]))
    levels = [float(one @ detector.model.template) for one in heard]  # what the detector's answer rests on
    assert len(made) == 9 and torch.equal(kept, made[int(np.argmin(levels))])


def test_a_model_of_one_class_is_not_explained() -> None:
    options = {"backbone": "mobilenetv3_small_050", "log_mel": SHORT.to_dict()}
    model = QuaclrsForAudioClassification(QuaclrsConfig(**options, num_labels=1)).eval()
    classifier = TorchClassifier(model, QuaclrsFeatureExtractor(SHORT.to_dict()))
    with pytest.raises(QuaclrsError, match="the model has one class"):
        explain(classifier, tone(1000, 0.2, 0.4).numpy(), 48_000)
