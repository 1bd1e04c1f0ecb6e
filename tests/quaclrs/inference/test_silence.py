"""One definition of silence, and the same answer of every door; that of exports is in `test_export.py`."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from transformers import pipeline

from quaclrs import load_classifier
from quaclrs.models import LogMelConfig, QuaclrsForAudioClassification

RATE = 48_000


def quiet_sounds() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    lonely = np.zeros(RATE)
    lonely[100] = 1e-9
    return {
        "zeros": np.zeros(RATE),
        "what Opus leaves of zeros": 2e-34 * generator.standard_normal(RATE),
        "one sample of 1e-9": lonely,
        "dither of 16 bits": generator.integers(-1, 2, RATE) / 32_768,
    }


QUIET = quiet_sounds()


@pytest.fixture(scope="module")
def classifier(tiny_classifier_folder):
    return load_classifier(tiny_classifier_folder, device="cpu")


@pytest.mark.parametrize("kind", QUIET)
def test_what_nobody_hears_is_silence_and_no_class_is_likelier_than_another(kind, classifier, tmp_path):
    assert classifier.predict(QUIET[kind], top_k=3) == [{"label": "silence", "score": 1.0}]
    np.testing.assert_allclose(classifier.probabilities([QUIET[kind]]), 1 / 13, atol=1e-9)
    soundfile.write(tmp_path / "quiet.wav", QUIET[kind], RATE, subtype="DOUBLE")
    assert [s.label for s in classifier.predict_timeline(tmp_path / "quiet.wav")] == ["silence"]


@pytest.mark.parametrize("kind", QUIET)
def test_the_pipeline_of_transformers_finds_every_class_alike(kind, tiny_classifier_folder):
    classify = pipeline("audio-classification", model=str(tiny_classifier_folder), device="cpu")
    scores = [entry["score"] for entry in classify(QUIET[kind].astype(np.float32), top_k=13)]
    assert scores == pytest.approx([1 / 13] * 13)


def test_a_tone_ten_decibels_above_is_heard(classifier):
    tone = np.sin(2 * np.pi * 1_000 * np.arange(4 * RATE) / RATE)
    loud, faint = (classifier.probabilities([level * tone]) for level in (1.0, 10 ** (-80 / 20)))
    assert np.ptp(faint) > 0.01 < np.ptp(loud)


def test_silence_beside_a_sound_in_one_batch_changes_nothing_of_it(classifier):
    sound = np.random.default_rng(1).normal(0, 0.1, 4 * RATE)
    alone = classifier.probabilities([sound])
    together = classifier.probabilities([np.zeros(RATE), sound, QUIET["dither of 16 bits"]])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-6)


def test_a_recording_that_was_muted_in_its_middle_is_what_it_is_beside_it(classifier, tmp_path):
    sound = np.random.default_rng(2).normal(0, 0.1, 24 * RATE)
    sound[8 * RATE : 16 * RATE] = 0
    soundfile.write(tmp_path / "muted.wav", sound, RATE)
    assert classifier.predict(tmp_path / "muted.wav", crop="centre") == [{"label": "silence", "score": 1.0}]
    beside = classifier.probabilities([sound[s * RATE : (s + 4) * RATE] for s in (0, 4, 16, 20)]).mean(0)
    found = {entry["label"]: entry["score"] for entry in classifier.predict(tmp_path / "muted.wav")}
    assert [found[name] for name in classifier.labels] == pytest.approx(beside, abs=1e-4)
    labels = [(s.start, s.end, s.label) for s in classifier.predict_timeline(tmp_path / "muted.wav")]
    assert (8, 16, "silence") in labels and labels[0][2] != "silence" != labels[-1][2]


def test_the_level_belongs_to_the_model_and_is_saved_with_it(classifier, tiny_classifier_folder):
    assert classifier.log_mel_config.silence_dbfs == -90.0
    config = classifier.model.config
    config = type(config)(**{**config.to_dict(), "log_mel": {**config.log_mel, "silence_dbfs": -40.0}})
    torch.manual_seed(0)
    model = QuaclrsForAudioClassification(config).eval()
    hiss = torch.randn(2, 4 * RATE) * torch.tensor([[1e-3], [1e-1]])
    with torch.no_grad():
        logits = model(input_values=hiss.clamp(-1, 1)).logits
    assert not logits[0].any() and logits[1].any()
    for wrong in (0.0, 3.0, float("-inf"), "quiet", True):
        with pytest.raises(ValueError, match="silence_dbfs"):
            LogMelConfig(silence_dbfs=wrong)


def test_where_a_clip_may_have_several_labels_a_silent_one_has_none(classifier):
    config = type(classifier.model.config)(
        **{**classifier.model.config.to_dict(), "problem_type": "multi_label_classification"}
    )
    model = QuaclrsForAudioClassification(config).eval()
    with torch.no_grad():
        assert model(input_values=torch.zeros(1, 4 * RATE)).logits.sigmoid().max() < 1e-6
