"""Background as the class `other`: what trains, what is held out, and what a run says of it."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import soundfile
from datasets import Dataset

from quaclrs.errors import QuaclrsError
from quaclrs.evaluation.run_metrics import RunMetrics
from quaclrs.labels import CLASS_NAMES
from quaclrs.saved_model import open_saved_model
from training.clips.background import BackgroundFolder, UnderBackground
from training.supervised.config import SupervisedConfig
from training.train_supervised import train

KINDS = ("cat", "door", "rain", "wind", "keys")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five kinds of noise, two recordings each; one of rain lasts 13 seconds."""
    root, generator = tmp_path_factory.mktemp("background"), np.random.default_rng(0)
    for place, kind in enumerate(KINDS):
        (root / kind).mkdir()
        for number in range(2):
            seconds = 13 if (kind, number) == ("rain", 1) else 2
            noise = generator.normal(0, 0.05 * (place + 1), 8000 * seconds)
            soundfile.write(root / kind / f"1-{place}{number}-A-{place}.wav", noise, 8000)
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))


def load(folder, test_fold, without=()):
    return BackgroundFolder(str(folder), without).load(8000, 4.0, (1, 2, 3), test_fold)


def test_every_kind_is_held_out_whole_by_one_fold_and_trains_in_the_others(folder) -> None:
    held = {}
    for fold in (1, 2, 3):
        background = load(folder, fold)
        kinds = np.array(background.rows["kind"])
        for kind in KINDS:
            sides = set(background.held_out[kinds == kind].tolist())
            assert len(sides) == 1
            held.setdefault(kind, []).extend([fold] if sides == {True} else [])
    assert all(len(folds) == 1 for folds in held.values())
    assert {fold for folds in held.values() for fold in folds} == {1, 2, 3}


def test_nothing_is_held_out_where_everything_trains(folder) -> None:
    background = load(folder, None)
    assert not background.held_out.any()
    assert "held out" not in background.description


def test_kinds_that_sound_like_a_class_are_left_out(folder) -> None:
    background = load(folder, 1, ("cat",))
    assert set(background.rows["kind"]) == set(KINDS) - {"cat"}
    with pytest.raises(QuaclrsError, match=r"--background-without dog: .* has no such folder"):
        load(folder, 1, ("dog",))


def test_a_long_recording_gives_several_windows_in_the_band_of_its_file(folder) -> None:
    rows = load(folder, 1).rows
    long = [row for row in rows if row["clip_id"].startswith("background/rain/1-21-A-2")]
    assert [row["clip_id"].removeprefix("background/rain/1-21-A-2") for row in long] == ["", "/window-1", "/window-2"]
    assert {row["recording_id"] for row in long} == {"background/21"}
    recording = soundfile.read(folder / "rain" / "1-21-A-2.wav")[0]
    starts = []
    for row in long:
        window = row["audio"]["bytes"]
        (folder / "w.flac").write_bytes(window)
        samples = soundfile.read(folder / "w.flac")[0]
        (folder / "w.flac").unlink()
        assert len(samples) == 4 * 8000
        starts.append(int(np.correlate(recording, samples[:4000], "valid").argmax()))
    assert starts[0] < starts[1] < starts[2]


def test_more_folds_than_kinds_hold_out_one_each(folder) -> None:
    held = [
        set(np.array(background.rows["kind"])[background.held_out])
        for fold in range(1, 11)
        for background in [BackgroundFolder(str(folder)).load(8000, 4.0, range(1, 11), fold)]
    ]
    assert all(len(kinds) == 1 for kinds in held)
    assert set.union(*held) == set(KINDS)


def test_one_kind_is_refused(folder) -> None:
    with pytest.raises(QuaclrsError, match="holds one kind of sound"):
        load(folder, 1, KINDS[1:])


def test_a_clip_lies_under_background_at_the_drawn_ratio_of_powers(folder) -> None:
    under = UnderBackground(load(folder, 1).rows)
    generator = np.random.default_rng(0)
    clip = np.sin(np.arange(12_000) / 5).astype(np.float32)
    ratios = []
    for _ in range(40):
        added = under(clip, 8000, generator) - clip
        ratios.append(10 * np.log10(np.mean(clip**2) / np.mean(added**2)))
    assert min(ratios) > -0.1 and max(ratios) < 20.1
    assert max(ratios) - min(ratios) > 10


def test_silence_and_silent_background_stay_as_they_are() -> None:
    from quaclrs.audio.encoding import encode_flac

    rows = Dataset.from_list([{"audio": {"bytes": encode_flac(np.zeros(800), 8000), "path": None}}])
    clip = np.ones(500, np.float32)
    np.testing.assert_array_equal(UnderBackground(rows)(clip, 8000, np.random.default_rng(0)), clip)


@pytest.mark.parametrize("mode", ["linear_probe", "scratch"])
def test_a_run_learns_other_and_says_what_it_does_to_kinds_it_never_heard(mode, folder, sample_dataset, tmp_path):
    probe = {"initial_weights": "random", "background_mixtures": 1} if mode == "linear_probe" else {}
    config = SupervisedConfig(
        dataset=str(sample_dataset), test_fold=2, output_dir=str(tmp_path / "run"), mode=mode, image_size=32,
        backbone="mobilenetv3_small_050", duration=1.0, epochs=1, batch_size=16, max_clips_per_class=2,
        background=str(folder), background_without="keys", **probe,
    )  # fmt: skip
    metrics = train(config)

    run = tmp_path / "run"
    assert open_saved_model(run / "model").labels == [*CLASS_NAMES, "other"]
    with (run / "predictions.csv").open() as file:
        header, *known = csv.reader(file)
    assert header[4:] == list(CLASS_NAMES)
    with (run / "predictions_other.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header[4:] == [*CLASS_NAMES, "other"]
    background = [row for row in rows if row[2] == "other"]
    assert len(rows) == len(known) + len(background)
    heard = {row[0].split("/")[1] for row in background}
    assert heard and heard < {"cat", "door", "rain", "wind"}
    assert metrics.open_set["kinds"] == len(heard)
    np.testing.assert_allclose([sum(map(float, row[4:])) for row in (*rows, *known)], 1, atol=1e-6)
    assert metrics.open_set["accuracy"] == pytest.approx(metrics.figures["accuracy"])
    assert RunMetrics.read(run).open_set == metrics.open_set
