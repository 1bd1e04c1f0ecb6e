"""Explanations: whose class they are of, where their heat lies, and that it comes from the weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from quaclrs import QuaclrsError, load_classifier
from quaclrs.cli import main
from quaclrs.evaluation.figures.explanation import explanation_figure
from quaclrs.inference.explain import EXPLANATION_METHODS, explain, find_target_layer
from quaclrs.inference.faithfulness import Faithfulness
from quaclrs.inference.pytorch import TorchClassifier
from quaclrs.models import (
    Backbone,
    LogMelConfig,
    QuaclrsConfig,
    QuaclrsFeatureExtractor,
    QuaclrsForAudioClassification,
)

RATE = 48_000


@pytest.fixture(scope="module")
def classifier(tiny_classifier_folder) -> TorchClassifier:
    return load_classifier(tiny_classifier_folder, device="cpu")


@pytest.fixture(scope="module")
def burst() -> np.ndarray:
    """Noise from 2.5 to 2.8 s in silence."""
    sound = np.zeros(4 * RATE, dtype=np.float32)
    sound[int(2.5 * RATE) : int(2.8 * RATE)] = np.random.default_rng(0).normal(0, 0.3, int(0.3 * RATE))
    return sound


@pytest.mark.parametrize("method", EXPLANATION_METHODS)
def test_an_explanation_is_of_the_models_answer_with_its_score_on_the_cells_of_the_log_mel(method, classifier, burst):
    found = explain(classifier, burst, method=method)
    best = classifier.predict(burst)[0]
    assert (found.label, found.score) == (best["label"], pytest.approx(best["score"], abs=1e-6))
    assert found.heat.shape == found.log_mel.shape == (128, 376)
    assert found.heat.min() >= 0 and found.heat.max() == pytest.approx(1.0)
    assert found.duration == 4.0


@pytest.mark.parametrize("method", EXPLANATION_METHODS)
def test_another_class_has_its_own_score_and_its_own_map(method, classifier, burst):
    first, last = (classifier.predict(burst)[place] for place in (0, -1))
    ours, theirs = (explain(classifier, burst, label=entry["label"], method=method) for entry in (first, last))
    assert theirs.score == pytest.approx(last["score"], abs=1e-6)
    assert not np.allclose(ours.heat, theirs.heat, atol=0.05)


def test_integrated_gradients_of_silence_are_zero_and_lie_where_there_is_sound(classifier, burst):
    heat = explain(classifier, burst, method="integrated-gradients").heat
    frames = np.arange(376) * 512 / RATE
    outside = (frames < 2.4) | (frames > 2.9)
    assert heat[:, outside].max() == 0
    assert heat[:, ~outside].sum() > 0


def test_integrated_gradients_of_a_linear_model_are_its_weights_times_the_sound():
    model = QuaclrsForAudioClassification(
        QuaclrsConfig(backbone="mobilenetv3_small_050", num_labels=2, log_mel={"image_size": 32})
    ).eval()
    torch.manual_seed(0)
    weights = torch.randn(2, 128 * 376)

    class Linear(nn.Module):
        def forward(self, input_values=None, input_features=None):
            log_mel = model.quaclrs.log_mel(input_values) if input_features is None else input_features
            return type("Output", (), {"logits": log_mel.flatten(1) @ weights.T})

    classifier = TorchClassifier(model, QuaclrsFeatureExtractor({"image_size": 32}))
    linear = Linear()
    linear.quaclrs, linear.probabilities, linear.config = model.quaclrs, model.probabilities, model.config
    classifier.model = linear
    classifier.labels = ["a", "b"]
    sound = np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32)
    found = explain(classifier, sound, label="b", method="integrated-gradients")
    expected = np.clip(weights[1].reshape(128, 376).numpy() * found.log_mel, 0, None)
    np.testing.assert_allclose(found.heat, expected / expected.max(), atol=1e-4)


@pytest.mark.parametrize("method", EXPLANATION_METHODS)
def test_randomised_weights_change_the_map(method, tiny_classifier_folder, classifier, burst):
    sound = burst + np.random.default_rng(1).normal(0, 0.05, len(burst)).astype(np.float32)
    other = load_classifier(tiny_classifier_folder, device="cpu")
    torch.manual_seed(5)
    for module in other.model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.reset_parameters()
    label = classifier.predict(sound)[0]["label"]
    ours, random = (explain(c, sound, label=label, method=method).heat for c in (classifier, other))
    assert np.abs(ours - random).mean() > 0.25 * ours.mean()


@pytest.mark.parametrize(
    ("backbone", "columns"),
    [("resnet18", 28), ("mobilenet_v2", 56), ("mobilenetv3_small_050", 28), ("vit_tiny_patch16_224", 14),
     ("resnet10t", 28), ("swin_tiny_patch4_window7_224", 28)],
)  # fmt: skip
def test_the_layer_that_is_looked_at_has_at_least_24_columns_where_the_network_allows(backbone, columns):
    network = Backbone(backbone).eval()
    pictures = torch.zeros(1, 3, 224, 224)
    layer, to_maps = find_target_layer(network, pictures)
    seen = []
    layer.register_forward_hook(lambda module, _, output: seen.append(to_maps(output) if to_maps else output))
    with torch.no_grad():
        network(pictures)
    assert seen[0].ndim == 4 and seen[0].shape[2:] == (columns, columns)


def test_explaining_leaves_no_gradients_and_no_training_mode_behind(classifier, burst):
    before = classifier.predict(burst)
    explain(classifier, burst)
    assert not classifier.model.training
    assert all(parameter.grad is None for parameter in classifier.model.parameters())
    assert classifier.predict(burst) == before


def test_the_picture_has_seconds_and_hertz_and_names_the_class(classifier, burst):
    found = explain(classifier, burst)
    figure = explanation_figure(found, LogMelConfig())
    above, below, *_ = figure.axes
    assert below.get_xlabel() == "time (s)" and below.get_xlim() == (0, 4)
    assert {label.get_text() for label in above.get_yticklabels()} == {"100", "500", "1000", "2000", "4000", "8000"}
    assert found.label.replace("_", " ") in below.get_title()


@pytest.mark.usefixtures("few_draws")
def test_the_command_writes_the_picture_beside_the_file_and_says_what_it_shows(
    tiny_classifier_folder, burst, tmp_path, capsys
):
    soundfile.write(tmp_path / "burst.wav", burst, RATE, subtype="FLOAT")
    assert main(["explain", str(tmp_path / "burst.wav"), "--model", str(tiny_classifier_folder), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["picture"] == str(tmp_path / "burst.explained.png")
    assert (tmp_path / "burst.explained.png").read_bytes().startswith(b"\x89PNG")
    best = load_classifier(tiny_classifier_folder, device="cpu").predict(tmp_path / "burst.wav")[0]
    assert (answer["label"], answer["score"]) == (best["label"], pytest.approx(best["score"], abs=1e-5))
    found = explain(load_classifier(tiny_classifier_folder, device="cpu"), burst, RATE).faithfulness
    for name in ("without_most_heat", "without_random"):
        assert answer[f"score_{name}"] == pytest.approx(1 / (1 + np.exp(-getattr(found, name))), abs=1e-4)
    assert answer["faithfulness"] == pytest.approx(found.without_random - found.without_most_heat, abs=1e-2)


@pytest.mark.usefixtures("few_draws")
def test_the_command_says_where_the_heat_counts_for_no_more_than_chance(
    tiny_classifier_folder, burst, tmp_path, capsys, monkeypatch
):
    soundfile.write(tmp_path / "burst.wav", burst, RATE, subtype="FLOAT")
    for without_most_heat, words in ((-2.0, ""), (0.5, ": cells at random cost as much, so the picture says little")):
        found = Faithfulness(1.0, without_most_heat, 0.0)
        monkeypatch.setattr("quaclrs.inference.explain.measure_faithfulness", lambda *_, found=found: found)
        assert main(["explain", str(tmp_path / "burst.wav"), "--model", str(tiny_classifier_folder)]) == 0
        score = 100 / (1 + np.exp(-without_most_heat))
        assert capsys.readouterr().out.splitlines()[1] == (
            f"without the tenth with most heat {score:.1f}%; without a tenth at random 50.0%{words}"
        )


@pytest.mark.parametrize(
    ("options", "words"),
    [({"label": "whale"}, "the model knows no class 'whale'"), ({"method": "magic"}, "unknown method 'magic'")],
)
def test_an_unknown_class_or_method_is_one_line(options, words, classifier, burst):
    with pytest.raises(QuaclrsError, match=words) as error:
        explain(classifier, burst, **options)
    assert "\n" not in str(error.value)
