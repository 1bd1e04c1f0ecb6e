"""`load_classifier`: files and arrays to scores, against transformers' pipeline, and the mistakes it names."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from transformers import pipeline

from quaclrs import QuaclrsError, load_classifier
from quaclrs.audio import AudioWarning
from quaclrs.inference.pytorch import AudioClassifier
from quaclrs.labels import CLASS_NAMES

RATE = 48_000


@pytest.fixture(scope="module")
def classifier(tiny_classifier_folder: Path) -> AudioClassifier:
    return load_classifier(tiny_classifier_folder, device="cpu")


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    """Five clips that score differently: tones, noise, a chirp and clicks, of different lengths."""
    generator = np.random.default_rng(0)
    seconds = np.arange(3 * RATE) / RATE
    clicks = np.zeros(RATE)
    clicks[::9_000] = 0.9
    made = [
        0.5 * np.sin(2 * np.pi * 300 * seconds),
        0.2 * generator.standard_normal(2 * RATE),
        0.5 * np.sin(2 * np.pi * (100 + 900 * seconds) * seconds),
        clicks,
        0.4 * np.sin(2 * np.pi * 4_000 * seconds[:20_000]),
    ]
    return [clip.astype(np.float32) for clip in made]


def scores_of(prediction: list[dict]) -> np.ndarray:
    """Scores in the order of the classes."""
    of_label = {entry["label"]: entry["score"] for entry in prediction}
    assert set(of_label) == set(CLASS_NAMES)
    return np.array([of_label[name] for name in CLASS_NAMES])


def assert_one_line(error: BaseException, *words: str) -> None:
    assert "\n" not in str(error)
    for word in words:
        assert word in str(error)


def test_a_file_an_array_and_the_pipeline_give_the_same_scores(
    classifier: AudioClassifier, sounds: list[np.ndarray], tiny_classifier_folder: Path, tmp_path: Path
) -> None:
    classify = pipeline("audio-classification", model=str(tiny_classifier_folder), device="cpu")
    for sound in sounds:
        soundfile.write(tmp_path / "clip.wav", sound, RATE, subtype="FLOAT")
        expected = scores_of(classify(sound, top_k=13))

        for found in (
            classifier.predict(tmp_path / "clip.wav"),
            classifier.predict(str(tmp_path / "clip.wav")),
            classifier.predict(sound, sampling_rate=RATE),
            classifier.predict(sound),
        ):
            np.testing.assert_allclose(scores_of(found), expected, atol=1e-5)


def test_a_file_of_another_rate_gives_the_scores_of_its_samples_at_that_rate(
    classifier: AudioClassifier, tmp_path: Path
) -> None:
    sound = (0.4 * np.sin(2 * np.pi * 700 * np.arange(44_100) / 22_050)).astype(np.float32)
    soundfile.write(tmp_path / "clip.wav", sound, 22_050, subtype="FLOAT")

    from_file = scores_of(classifier.predict(tmp_path / "clip.wav"))

    np.testing.assert_allclose(from_file, scores_of(classifier.predict(sound, sampling_rate=22_050)), atol=1e-6)
    with pytest.warns(AudioWarning, match="without a sampling_rate are taken for 48000 Hz; pass sampling_rate"):
        taken = scores_of(classifier.predict(sound))
    assert np.abs(from_file - taken).max() > 1e-3  # another sound


def test_a_sound_of_some_milliseconds_is_told_to_be_short(classifier: AudioClassifier, tmp_path: Path) -> None:
    for rate in (RATE, 22_050):
        soundfile.write(tmp_path / "click.wav", np.full(rate // 20, 0.1), rate)
        with pytest.warns(AudioWarning, match=r"click.wav lasts 0.05 s; what is said of so little sound is a guess"):
            classifier.predict(tmp_path / "click.wav")
    soundfile.write(tmp_path / "bark.wav", np.full(RATE // 10, 0.1), RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AudioWarning)
        classifier.predict(tmp_path / "bark.wav")


def test_scores_are_the_softmax_of_the_models_logits_best_first(
    classifier: AudioClassifier, sounds: list[np.ndarray]
) -> None:
    padded = np.pad(sounds[0], (0, 192_000 - len(sounds[0])))
    with torch.no_grad():
        logits = classifier.model(torch.from_numpy(padded)[None]).logits[0].double().numpy()
    scores = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()

    found = classifier.predict(sounds[0])

    assert [entry["label"] for entry in found] == [CLASS_NAMES[i] for i in np.argsort(-scores)]
    np.testing.assert_allclose([entry["score"] for entry in found], np.sort(scores)[::-1], atol=1e-6)


def test_probabilities_have_a_row_a_sound_and_a_column_a_label_and_are_the_predicted_scores(
    classifier: AudioClassifier, sounds: list[np.ndarray]
) -> None:
    found = classifier.probabilities(sounds[:3])

    assert found.shape == (3, 13)
    assert found.dtype == np.float64
    assert classifier.labels == list(CLASS_NAMES)
    padded = np.stack([np.pad(sound, (0, 192_000 - len(sound))) for sound in sounds[:3]])
    with torch.no_grad():
        logits = classifier.model(torch.from_numpy(padded)).logits.double().numpy()
    np.testing.assert_allclose(found, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=1e-6)
    with pytest.raises(QuaclrsError, match="no sound"):
        classifier.probabilities([])


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_list_gives_each_sounds_own_scores_in_order_at_any_batch_size(
    batch_size: int, classifier: AudioClassifier, sounds: list[np.ndarray]
) -> None:
    singles = np.stack([scores_of(classifier.predict(sound)) for sound in sounds])
    apart = np.abs(singles[:, None] - singles[None]).max(-1)[~np.eye(len(sounds), dtype=bool)]
    assert apart.min() > 1e-3  # or a wrong order would not be seen

    for given in (sounds, tuple(sounds)):
        found = classifier.predict(given, batch_size=batch_size)
        assert isinstance(found, list)
        np.testing.assert_allclose(np.stack([scores_of(each) for each in found]), singles, atol=1e-5)


def test_a_list_may_mix_files_and_arrays(classifier: AudioClassifier, sounds: list[np.ndarray], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", sounds[1], RATE, subtype="FLOAT")

    of_file, of_array = classifier.predict([tmp_path / "clip.wav", sounds[0]])

    np.testing.assert_allclose(scores_of(of_file), scores_of(classifier.predict(sounds[1])), atol=1e-5)
    np.testing.assert_allclose(scores_of(of_array), scores_of(classifier.predict(sounds[0])), atol=1e-5)
    assert classifier.predict([]) == []


@pytest.mark.parametrize(("top_k", "length"), [(1, 1), (3, 3), (13, 13), (50, 13), (None, 13)])
def test_top_k_keeps_the_best_classes(
    top_k: int | None, length: int, classifier: AudioClassifier, sounds: list[np.ndarray]
) -> None:
    scores = scores_of(classifier.predict(sounds[2]))

    found = classifier.predict(sounds[2], top_k=top_k)

    assert [entry["label"] for entry in found] == [CLASS_NAMES[i] for i in np.argsort(-scores)[:length]]
    assert all(set(entry) == {"label", "score"} for entry in found)


def test_channels_are_mixed_to_their_mean(classifier: AudioClassifier, sounds: list[np.ndarray]) -> None:
    noise = sounds[1]
    stereo = np.stack([noise + 0.3, 0.2 * noise[::-1]])

    found = scores_of(classifier.predict(stereo, sampling_rate=RATE))

    np.testing.assert_allclose(found, scores_of(classifier.predict((stereo[0] + stereo[1]) / 2)), atol=1e-5)


def test_every_encoding_that_occurs_gets_thirteen_scores_that_sum_to_one(
    classifier: AudioClassifier, shared_data: Path
) -> None:
    files = sorted((shared_data / "formats").glob("*.wav"))
    assert len(files) == 18

    for file, found in zip(files, classifier.predict(files), strict=True):
        scores = scores_of(found)
        assert np.isfinite(scores).all(), file.name
        assert scores.sum() == pytest.approx(1, abs=1e-6), file.name


def test_the_labels_are_the_thirteen_classes_in_order(classifier: AudioClassifier) -> None:
    assert classifier.labels == list(CLASS_NAMES)
    assert not classifier.model.training


def test_a_checkpoint_stored_in_half_precision_runs_in_float32(tiny_classifier_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_classifier_folder, tmp_path / "half")
    state = load_file(folder / "model.safetensors")
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))

    loaded = load_classifier(folder, device="cpu")

    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.float32}


def test_what_is_no_classifier_folder_is_named_in_one_line(tiny_classifier_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "config.json").write_text(json.dumps({"model_type": "no_such_type"}))
    (tmp_path / "garbled").mkdir()
    (tmp_path / "garbled" / "config.json").write_text("{not json")
    (tmp_path / "file").write_text("a file")
    for lacking in ("model.safetensors", "preprocessor_config.json"):
        folder = shutil.copytree(tiny_classifier_folder, tmp_path / f"without_{lacking}")
        (folder / lacking).unlink()
    folder = shutil.copytree(tiny_classifier_folder, tmp_path / "truncated")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    folder = shutil.copytree(tiny_classifier_folder, tmp_path / "other_option")
    config = json.loads((folder / "config.json").read_text())
    config["log_mel"]["n_mells"] = 5
    (folder / "config.json").write_text(json.dumps(config))
    words = {
        "absent": "does not exist",
        "file": "is a file; give the model/ folder",
        "empty": "cannot be loaded",
        "bert": "bert",
        "unknown": "no_such_type",
        "garbled": "cannot be read as JSON",
        "without_model.safetensors": "cannot be loaded",
        "without_preprocessor_config.json": "cannot be loaded",
        "truncated": "model.safetensors is damaged or cut short",
        "other_option": "n_mells",
    }

    for name, reason in words.items():
        with pytest.raises(QuaclrsError) as error:
            load_classifier(tmp_path / name)
        assert_one_line(error.value, str(tmp_path / name), reason)


@pytest.mark.parametrize(
    "lacking", ["classifier.weight", "classifier.bias", "quaclrs.backbone.network.conv_stem.weight"]
)
def test_a_checkpoint_that_lacks_a_tensor_is_refused_and_never_runs_with_random_weights(
    lacking: str, tiny_classifier_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_classifier_folder, tmp_path / "lacking")
    state = load_file(folder / "model.safetensors")
    del state[lacking]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(QuaclrsError) as error:
        load_classifier(folder)
    assert_one_line(error.value, str(folder), lacking)


def test_a_checkpoint_with_a_tensor_of_another_shape_is_refused(tiny_classifier_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_classifier_folder, tmp_path / "shape")
    state = load_file(folder / "model.safetensors")
    state["classifier.weight"] = state["classifier.weight"][:5].clone()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(QuaclrsError) as error:
        load_classifier(folder)
    assert_one_line(error.value, str(folder))


@pytest.mark.parametrize("device", ["gpu", "no such device", "cuda:99"])
def test_an_unknown_device_is_named_in_one_line(device: str, tiny_classifier_folder: Path) -> None:
    with pytest.raises(QuaclrsError) as error:
        load_classifier(tiny_classifier_folder, device=device)
    assert_one_line(error.value, repr(device))


def test_an_unusable_sound_is_named_in_one_line(classifier: AudioClassifier, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("these are notes, not sound")
    (tmp_path / "nothing.wav").touch()
    (tmp_path / "bytes.raw").write_bytes(bytes(100))
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan), RATE, subtype="FLOAT")
    unusable = [
        (tmp_path / "notes.wav", "notes.wav"),
        (tmp_path / "nothing.wav", "nothing.wav"),
        (tmp_path / "bytes.raw", "bytes.raw"),
        (tmp_path / "nan.wav", "nan.wav"),
        (tmp_path / "absent.wav", "absent.wav"),
        (str(tmp_path), tmp_path.name),
        (np.zeros(0), "at least one sample"),
        (np.array([0.0, np.nan]), "NaN"),
        (np.zeros((48_000, 200)), "48000 channels"),
        (np.zeros((1, 2, 3)), "(1, 2, 3)"),
        (np.zeros(10, dtype=bool), "bool"),
    ]
    for sound, words in unusable:
        for given in (sound, [np.zeros(100), sound]):
            with pytest.raises(QuaclrsError) as error:
                classifier.predict(given)
            assert_one_line(error.value, words)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"top_k": 0}, {"top_k": -1}])
def test_a_batch_size_or_top_k_below_one_is_refused(options: dict[str, int], classifier: AudioClassifier) -> None:
    with pytest.raises(QuaclrsError, match="1 or more"):
        classifier.predict([np.ones(100)], **options)


def test_a_feature_extractor_of_another_front_end_is_refused(tiny_classifier_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_classifier_folder, folder)
    file = folder / "preprocessor_config.json"
    saved = json.loads(file.read_text())
    saved["log_mel"]["duration"] = 2.0
    file.write_text(json.dumps(saved))
    with pytest.raises(QuaclrsError, match="differ in log_mel"):
        load_classifier(folder)
