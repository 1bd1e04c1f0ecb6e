"""Noise of a robustness test: its ratio measured, its independence of order, and what the classifier is given."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs import LogMelConfig, load_classifier
from quaclrs.augment import find_noise
from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.robustness import (
    CLEAN,
    add_noise,
    make_noise,
    metrics_over_snr,
    probabilities_over_snr,
)
from quaclrs.inference.classifier import AudioClassifier
from quaclrs.inference.windows import Window, windows_of
from quaclrs.labels import CLASS_NAMES

RATE = 48_000
SNRS = (20.0, 10.0, 0.0, -5.0)


def tones() -> dict[str, np.ndarray]:
    """Clips of different pitch, level and length by their ids."""
    clips = {}
    for place, (seconds, level) in enumerate([(0.05, 0.5), (0.7, 0.01), (2.0, 0.9), (4.0, 0.2), (1.3, 0.3)]):
        time = np.arange(round(seconds * RATE)) / RATE
        clips[f"clip {place}"] = (level * np.sin(2 * np.pi * 300 * (place + 1) * time)).astype(np.float32)
    return clips


def ratio_db(clip: np.ndarray, noisy: np.ndarray) -> float:
    noise = noisy.astype(np.float64) - clip
    return 10 * np.log10(np.mean(clip.astype(np.float64) ** 2) / np.mean(noise**2))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories of eight recordings of half a second, each a tone of its own."""
    folder = tmp_path_factory.mktemp("noise")
    time = np.arange(RATE // 2) / RATE
    for category, number in itertools.product(("rain", "wind"), range(8)):
        (folder / category).mkdir(exist_ok=True)
        hertz = {"rain": 1000, "wind": 2000}[category] + 100 * number
        soundfile.write(folder / category / f"{hertz}.wav", 0.1 * np.sin(2 * np.pi * hertz * time), RATE)
    return folder


@pytest.fixture(scope="module", params=["gaussian", "recordings"])
def noise(request: pytest.FixtureRequest, recordings: Path):
    return make_noise("gaussian" if request.param == "gaussian" else recordings, RATE)


@pytest.mark.parametrize("snr_db", SNRS)
def test_every_clip_of_any_length_and_level_gets_noise_at_the_asked_ratio(noise, snr_db: float) -> None:
    clips = tones()
    noisy = add_noise(noise, list(clips.values()), list(clips), snr_db)
    for clip, made in zip(clips.values(), noisy, strict=True):
        assert made.shape == clip.shape
        assert ratio_db(clip, made) == pytest.approx(snr_db, abs=0.02)


def test_real_recordings_are_heard_at_the_asked_ratio(shared_data: Path) -> None:
    background = make_noise(shared_data / "noise", RATE)
    clips = tones()
    for clip, made in zip(clips.values(), add_noise(background, list(clips.values()), list(clips), 5.0), strict=True):
        assert ratio_db(clip, made) == pytest.approx(5.0, abs=0.02)


def test_a_clips_noise_is_the_same_at_every_ratio_but_for_its_level(noise) -> None:
    clips = tones()
    added = {
        snr_db: [made - clip for clip, made in zip(clips.values(), noisy, strict=True)]
        for snr_db in SNRS
        for noisy in [add_noise(noise, list(clips.values()), list(clips), snr_db)]
    }
    for snr_db, of_clips in added.items():
        for loudest, of_clip in zip(added[-5.0], of_clips, strict=True):
            np.testing.assert_allclose(of_clip, loudest * 10 ** (-(snr_db + 5) / 20), atol=1e-5 * np.abs(loudest).max())


def test_noise_depends_on_clip_and_seed_and_neither_on_order_nor_on_what_else_is_in_the_batch(noise) -> None:
    clips = tones()
    together = dict(zip(clips, add_noise(noise, list(clips.values()), list(clips), 0.0), strict=True))
    backwards = list(clips)[::-1]
    for name, made in zip(backwards, add_noise(noise, [clips[n] for n in backwards], backwards, 0.0), strict=True):
        np.testing.assert_array_equal(made, together[name])
    for name, clip in clips.items():
        (alone,) = add_noise(noise, [clip], [name], 0.0)
        np.testing.assert_array_equal(alone, together[name])
        (another_seed,), (another_name,) = (
            add_noise(noise, [clip], [name], 0.0, seed=1),
            add_noise(noise, [clip], [f"not {name}"], 0.0),
        )
        assert not np.array_equal(another_seed, alone)
        assert not np.array_equal(another_name, alone)


def test_silent_clips_stay_silent_and_clean_ones_are_left_as_they_are(noise) -> None:
    clip, silence = tones()["clip 1"], np.zeros(1000, dtype=np.float32)
    made, still = add_noise(noise, [clip, silence], ["a", "b"], 0.0)
    assert not np.array_equal(made, clip)
    assert not still.any()
    (unchanged,) = add_noise(noise, [clip], ["a"], CLEAN)
    np.testing.assert_array_equal(unchanged, clip)


def test_only_recordings_that_no_model_trains_with_are_heard(recordings: Path) -> None:
    background = make_noise(recordings, RATE)
    clip = np.full(RATE // 2, 0.2, dtype=np.float32)
    names = [str(number) for number in range(100)]
    heard = {
        round(float(np.argmax(np.abs(np.fft.rfft(made - clip))) * 2))
        for made in add_noise(background, [clip] * 100, names, 0.0)
    }
    held_out = {int(Path(recording.name).stem) for recording in find_noise(recordings, "test")}
    trained = {int(Path(recording.name).stem) for recording in find_noise(recordings, "train")}
    assert heard == held_out
    assert not heard & trained


def test_a_clip_that_met_the_digital_silence_of_a_recording_draws_again(tmp_path: Path) -> None:
    # As in ESC-50: a short sound, then zeros. Most stretches of a tenth of a second hold nothing.
    generator = np.random.default_rng(0)
    for number in range(8):
        sound = np.zeros(5 * RATE)
        sound[:RATE] = 0.1 * generator.standard_normal(RATE)
        soundfile.write(tmp_path / f"{number}.wav", sound, RATE)
    clip = np.full(RATE // 10, 0.2, dtype=np.float32)
    names = [str(number) for number in range(100)]
    for snr_db in (20.0, 0.0):
        for made in add_noise(make_noise(tmp_path, RATE), [clip] * 100, names, snr_db):
            assert ratio_db(clip, made) == pytest.approx(snr_db, abs=0.02)


class Listener(AudioClassifier):
    """A classifier of two classes that keeps what it hears."""

    def __init__(self) -> None:
        super().__init__(("a", "b"), LogMelConfig())
        self.heard: list[np.ndarray] = []

    def _scores_of(self, waveforms: np.ndarray) -> np.ndarray:
        self.heard += [*waveforms]
        return np.tile([0.25, 0.75], (len(waveforms), 1))


def windows(clips: Iterable[np.ndarray], crop: str = "whole") -> Iterator[tuple[int, Window]]:
    for place, clip in enumerate(clips):
        for window in windows_of(clip, LogMelConfig(), crop=crop):
            yield place, window


@pytest.mark.parametrize(("crop", "parts"), [("whole", [(0, 4), (4, 8)]), ("centre", [(2, 6)])])
def test_noise_covers_each_window_of_a_long_clip_and_none_of_the_padding_of_a_short_one(crop, parts) -> None:
    # Eight seconds, loud but for the four in the middle.
    long = np.full(8 * RATE, 0.9, dtype=np.float32)
    long[2 * RATE : 6 * RATE] = 0.01
    short = tones()["clip 1"]
    listener = Listener()
    found = probabilities_over_snr(
        listener, windows([long, short], crop), ["long", "short"], ["a", "b"], (10.0,), make_noise("gaussian", RATE)
    )
    *heard_long, heard_short = listener.heard
    assert found[10.0].tolist() == [[0.25, 0.75]] * 2
    noise = []
    for (start, end), heard in zip(parts, heard_long, strict=True):
        clip = long[start * RATE : end * RATE]
        assert ratio_db(clip, heard) == pytest.approx(10.0, abs=0.02)
        noise.append(heard - clip)
    assert len(parts) == 1 or abs(np.corrcoef(noise)[0, 1]) < 0.02
    assert ratio_db(short, heard_short[: len(short)]) == pytest.approx(10.0, abs=0.02)
    assert not heard_short[len(short) :].any()


def test_clips_are_drawn_from_their_iterator_once_whatever_the_number_of_ratios() -> None:
    decoded = []

    def waveforms():
        for name, clip in tones().items():
            decoded.append(name)
            yield clip

    found = probabilities_over_snr(
        Listener(),
        windows(waveforms()),
        list(tones()),
        ["b", "a"],
        (CLEAN, 5.0, 0.0),
        make_noise("gaussian", RATE),
        batch_size=2,
    )
    assert decoded == list(tones())
    assert list(found) == [CLEAN, 5.0, 0.0]
    for probabilities in found.values():
        np.testing.assert_array_equal(probabilities, [[0.75, 0.25]] * 5)  # in the order of the classes asked for


def test_probabilities_are_the_models_own_at_any_batch_size_and_in_any_order(
    tiny_classifier_folder: Path, noise
) -> None:
    classifier = load_classifier(tiny_classifier_folder, device="cpu")
    clips = tones()
    snrs = (CLEAN, 0.0)
    found = probabilities_over_snr(
        classifier, windows(clips.values()), list(clips), CLASS_NAMES, snrs, noise, batch_size=5
    )
    for place, clip in enumerate(clips.values()):
        of_label = {entry["label"]: entry["score"] for entry in classifier.predict(clip)}
        np.testing.assert_allclose(found[CLEAN][place], [of_label[name] for name in CLASS_NAMES], atol=1e-5)
    assert np.abs(found[0.0] - found[CLEAN]).max() > 1e-3

    backwards = dict(reversed(clips.items()))
    again = probabilities_over_snr(
        classifier, windows(backwards.values()), list(backwards), CLASS_NAMES, snrs, noise, batch_size=2
    )
    for snr_db in snrs:
        np.testing.assert_allclose(again[snr_db][::-1], found[snr_db], atol=1e-5)


def test_fewer_classes_share_the_whole_probability_in_their_own_order(tiny_classifier_folder: Path) -> None:
    classifier = load_classifier(tiny_classifier_folder, device="cpu")
    clips = tones()
    of_all, of_two = (
        probabilities_over_snr(classifier, windows(clips.values()), list(clips), classes)[CLEAN]
        for classes in (CLASS_NAMES, ["traffic", "dog_bark"])
    )
    traffic, dog = (of_all[:, CLASS_NAMES.index(name)] for name in ("traffic", "dog_bark"))
    np.testing.assert_allclose(of_two, np.stack([traffic, dog], axis=1) / (traffic + dog)[:, None], atol=1e-6)


def test_metrics_come_from_the_cleanest_ratio_down_and_name_it() -> None:
    right, wrong = [0.9, 0.1], [0.1, 0.9]
    labels, sources = np.array([0, 0, 1, 1]), ["urbansound8k"] * 2 + ["sirennet"] * 2
    probabilities = {
        -5.0: np.array([wrong, wrong, right, right]),
        CLEAN: np.array([right, right, wrong, wrong]),
        10.0: np.array([right, wrong, wrong, wrong]),
    }
    rows = metrics_over_snr(probabilities, labels, ["a", "b"], sources)
    assert [row["snr_db"] for row in rows] == ["clean", 10.0, -5.0]
    assert [row["accuracy"] for row in rows] == [1.0, 0.75, 0.0]
    assert [row["accuracy_urbansound8k"] for row in rows] == [1.0, 0.5, 0.0]
    assert [row["accuracy_sirennet"] for row in rows] == [1.0, 1.0, 0.0]


def test_a_noise_folder_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(QuaclrsError, match="absent does not exist") as error:
        make_noise(tmp_path / "absent", RATE)
    assert "\n" not in str(error.value)
