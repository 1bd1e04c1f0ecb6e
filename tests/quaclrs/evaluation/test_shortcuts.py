"""The controls against shortcuts: on clips whose class is their length, and on clips whose length says nothing."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import soundfile
from datasets import Dataset

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.shortcuts import RandomLength, shortcut_columns, shortcut_features, shortcut_probabilities
from quaclrs.transforms import ClipTransform

FILES = Dataset.from_dict(
    {
        "clip_id": ["a", "b", "c"],
        "original_sampling_rate": [44_100, 48_000, None],
        "duration": [3.0, 4.0, 0.5],
        "original_channels": [2, 1, 1],
    }
)


def test_features_are_length_channels_and_rate_of_the_rows_asked_for_in_their_order() -> None:
    assert shortcut_columns(FILES) == ("duration", "original_channels", "original_sampling_rate")
    np.testing.assert_array_equal(shortcut_features(FILES, [2, 0]), [[0.5, 1, np.nan], [3.0, 2, 44_100]])


def test_a_data_set_that_knows_lengths_alone_gives_lengths_alone_and_says_so() -> None:
    lengths = FILES.select_columns(["duration"])
    assert shortcut_columns(lengths) == ("duration",)
    np.testing.assert_array_equal(shortcut_features(lengths, range(3)), [[3.0], [4.0], [0.5]])
    with pytest.raises(QuaclrsError, match="no column duration"):
        shortcut_features(FILES.remove_columns("duration"), [0])


def test_reading_the_features_runs_no_transform_of_the_data_set() -> None:
    def refuse(rows: dict) -> dict:
        raise AssertionError("a clip was decoded")

    assert shortcut_features(FILES.with_transform(refuse), [1]).tolist() == [[4.0, 1, 48_000]]


def test_a_class_that_its_length_tells_is_found_and_classes_of_one_length_share_their_probability() -> None:
    generator = np.random.default_rng(0)
    # Class 2 lasts 3 s exactly; 0 and 1 last 4 s, and 0 has nine times as many clips; class 3 has none.
    labels = np.repeat([0, 1, 2], [270, 30, 50])
    seconds = np.where(labels == 2, 3.0, 4.0)[:, None]
    order = generator.permutation(350)
    probabilities = shortcut_probabilities(seconds[order], labels[order], np.array([[3.0], [4.0]]), 4, seed=0)
    # Weighed by class, not by clip: 0 and 1 are as likely as each other, but for the forest's own draws.
    np.testing.assert_allclose(probabilities, [[0, 0, 1, 0], [0.5, 0.5, 0, 0]], atol=0.05)


def test_a_length_that_says_nothing_of_the_class_finds_a_quarter_of_four_classes() -> None:
    generator = np.random.default_rng(1)
    labels, seconds = generator.integers(0, 4, 1200), generator.uniform(1, 4, (1200, 1))
    predicted = shortcut_probabilities(seconds[:600], labels[:600], seconds[600:], 4, seed=0).argmax(axis=1)
    assert np.mean(predicted == labels[600:]) == pytest.approx(1 / 4, abs=4 * np.sqrt(0.25 * 0.75 / 600))


def test_unknown_channels_are_no_obstacle_and_the_seed_decides_the_forest() -> None:
    features = np.array([[3.0, np.nan], [3.0, 2], [4.0, np.nan], [4.0, 1]] * 10)
    labels = np.array([1, 1, 0, 0] * 10)
    first = shortcut_probabilities(features, labels, features, 2, seed=5)
    np.testing.assert_array_equal(first.argmax(axis=1), labels)
    np.testing.assert_array_equal(shortcut_probabilities(features, labels, features, 2, seed=5), first)


@pytest.mark.parametrize(
    ("train", "labels", "test", "message"),
    [
        (np.zeros((0, 1)), [], np.zeros((1, 1)), "a row a clip: 0 and 0"),
        (np.zeros((2, 1)), [0], np.zeros((1, 1)), "a row a clip: 2 and 1"),
        (np.zeros((2, 1)), [0, 2], np.zeros((1, 1)), r"0\.\.1"),
        (np.zeros((2, 3)), [0, 1], np.zeros((1, 1)), r"\(2, 3\).*\(1, 1\)"),
    ],
)
def test_features_that_do_not_fit_are_refused(
    train: np.ndarray, labels: list[int], test: np.ndarray, message: str
) -> None:
    with pytest.raises(QuaclrsError, match=message):
        shortcut_probabilities(train, labels, test, 2, seed=0)


def test_lengths_are_uniform_between_the_bounds_and_the_cut_is_a_piece_of_the_clip_from_anywhere() -> None:
    clip = np.arange(300, dtype=np.float32)  # 3 s at 100 Hz: a sample's value is its place
    cut = RandomLength(1.0, 2.0)
    pieces = [cut(clip, 100, np.random.default_rng(seed)) for seed in range(2000)]
    for piece in pieces:
        np.testing.assert_array_equal(piece, clip[int(piece[0]) :][: len(piece)])
    lengths, starts = np.array([len(p) for p in pieces]), np.array([p[0] for p in pieces])
    assert (lengths.min(), lengths.max()) == (100, 200)
    # Mean and variance of a uniform distribution on 100 to 200, within 5 standard errors.
    assert lengths.mean() == pytest.approx(150, abs=5 * np.sqrt(100**2 / 12 / 2000))
    assert lengths.var() == pytest.approx(100**2 / 12, rel=0.1)
    # The place is uniform over what the length leaves: at 0 as well as at the end, its share 1/2 on average.
    shares = starts / (300 - lengths)
    assert (shares.min(), shares.max()) == (0, 1)
    assert shares.mean() == pytest.approx(0.5, abs=5 * np.sqrt(1 / 12 / 2000))


def test_no_cut_of_the_default_bounds_lasts_as_long_as_a_siren_and_short_clips_stay_whole() -> None:
    clip, short = np.ones(144_000, np.float32), np.ones(20_000, np.float32)
    for seed in range(200):
        assert 48_000 <= len(RandomLength()(clip, 48_000, np.random.default_rng(seed))) <= 139_200
        assert len(RandomLength()(short, 48_000, np.random.default_rng(seed))) == 20_000


@pytest.mark.parametrize("bounds", [(0, 1), (2, 1), (1, float("inf")), (float("nan"), 2)])
def test_lengths_out_of_order_are_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(QuaclrsError, match="above 0 s and in order"):
        RandomLength(*bounds)


class TrueLengths:
    """A feature extractor that shows what reaches it: each clip's length and first sample."""

    sampling_rate, n_samples = 8000, 32_000

    def __call__(self, raw_speech: list[np.ndarray], sampling_rate: int | None = None) -> dict[str, np.ndarray]:
        return {"input_values": np.array([[len(clip), clip[0]] for clip in raw_speech])}


def test_a_clip_is_cut_the_same_way_in_any_order_batch_or_process_and_otherwise_in_another_epoch() -> None:
    def encoded(seed: int) -> dict[str, object]:
        buffer = io.BytesIO()
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, 24_000)
        soundfile.write(buffer, samples, 8000, format="WAV", subtype="FLOAT")
        return {"bytes": buffer.getvalue(), "path": None}

    rows = {"audio": [encoded(i) for i in range(4)], "clip_id": [f"siren {i}" for i in range(4)]}
    transform = ClipTransform(TrueLengths(), augment=RandomLength(), seed=3)
    forwards = transform(rows)["input_values"]
    backwards = transform({name: column[::-1] for name, column in rows.items()})["input_values"][::-1]
    alone = transform({name: column[2:3] for name, column in rows.items()})["input_values"]
    elsewhere = pickle.loads(pickle.dumps(transform))(rows)["input_values"]

    np.testing.assert_array_equal(forwards, backwards)
    np.testing.assert_array_equal(forwards[2:3], alone)
    np.testing.assert_array_equal(forwards, elsewhere)
    assert len(set(forwards[:, 0])) == 4 and forwards[:, 0].max() <= 2.9 * 8000
    transform.set_epoch(1)
    assert (transform(rows)["input_values"] != forwards).all()
