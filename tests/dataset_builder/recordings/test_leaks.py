"""A data set that leaks is caught by plain cross-correlation, and the one that is built does not leak."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.signal
import soundfile
import soxr

from dataset_builder.__main__ import main
from dataset_builder.recordings.leaks import (
    MEASURES,
    LeakCheck,
    cross_fold_correlations,
    highest_correlations,
)
from dataset_builder.table.rows import make_features
from quaclrs.errors import QuaclrsError

RATE = 48000


def recording(seed: int, seconds: float = 3.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    band = scipy.signal.butter(2, [200, 1500], "bandpass", fs=RATE, output="sos")
    sound = scipy.signal.sosfilt(band, rng.standard_normal(round(seconds * RATE)))
    return (0.3 * sound / np.abs(sound).max()).astype(np.float32)


def write_dataset(folder: Path, clips: list[tuple[str, int, np.ndarray]], source: str = "sirennet") -> Path:
    """Clips as (clip_id, fold, waveform at 48 kHz)."""
    rows = []
    for clip_id, fold, waveform in clips:
        buffer = io.BytesIO()
        soundfile.write(buffer, waveform, RATE, format="FLAC", subtype="PCM_16")
        audio = {"bytes": buffer.getvalue(), "path": None}
        ids = {"clip_id": clip_id, "recording_id": clip_id}
        rows.append({"audio": audio, **ids, "label": 0, "source": source, "fold": fold, "fold_paper": fold})
    (folder / "data").mkdir(parents=True)
    table = pa.Table.from_pylist(rows, schema=make_features(["a"]).arrow_schema)
    pq.write_table(table, folder / "data" / "fold01-00000.parquet")
    return folder


def test_leaks_of_every_kind_are_caught_and_a_copy_in_the_same_fold_is_none(tmp_path, capsys):
    whole = recording(1, seconds=6.0)
    clips = [
        ("a/whole", 1, whole[: 3 * RATE]),
        ("a/copy", 2, -0.1 * whole[: 3 * RATE]),
        ("a/late", 3, whole[2 * RATE : 5 * RATE]),  # shares a third
        ("b/one", 4, recording(2)),
        ("b/same fold", 4, recording(2)),
        ("c/alone", 5, recording(3)),
    ]
    folder = write_dataset(tmp_path / "leaky", clips)
    found = cross_fold_correlations(folder)
    of_measure = {m: {(a, b): c for c, a, b in found.pairs(m)} for m in MEASURES}
    assert of_measure["whole"]["a/whole", "a/copy"] == pytest.approx(1, abs=0.01)
    assert of_measure["whole"]["a/whole", "a/late"] == pytest.approx(1 / 3, abs=0.03)
    for measure in ("overlap", "template"):
        assert of_measure[measure]["a/whole", "a/late"] == pytest.approx(1, abs=0.03)
        assert {pair for pair, c in of_measure[measure].items() if c > 0.9} == {
            ("a/whole", "a/copy"), ("a/whole", "a/late"), ("a/copy", "a/late")
        }  # fmt: skip
    assert not any({"b/one", "b/same fold"} == set(pair) for pair in of_measure["whole"])
    assert main(["leaks", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "whole: 1 pairs above 0.9" in printed
    assert "overlap: 3 pairs above 0.9" in printed


def test_a_data_set_without_leaks_passes(tmp_path, capsys):
    clips = [(f"a/{seed}", 1 + seed % 3, recording(seed)) for seed in range(6)]
    assert main(["leaks", str(write_dataset(tmp_path / "sound", clips))]) == 0
    assert "6 clips, 12 pairs in different folds" in capsys.readouterr().out


def test_urbansound8k_is_not_compared_as_its_folds_are_official(tmp_path):
    clips = [("a", 1, recording(1)), ("b", 2, recording(1))]
    folder = write_dataset(tmp_path / "old", clips, source="urbansound8k")
    assert cross_fold_correlations(folder).clip_ids == []


def test_correlations_equal_the_sum_over_products_at_each_lag():
    rate = 1000
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal(n).astype(np.float32) for n in (60, 83, 120)]
    clips[1][10:40] += 3 * clips[0][20:50]
    check = LeakCheck(sampling_rate=rate, shortest_overlap=0.02, template_duration=0.03, template_hop=0.01)
    found = highest_correlations(clips, check)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        a, b = clips[i].astype(float), clips[j].astype(float)
        whole, overlap = [], []
        for lag in range(-len(b) + 1, len(a)):
            mine, theirs = a[max(lag, 0) : len(b) + lag], b[max(-lag, 0) : len(a) - lag]
            product = abs(float(mine @ theirs))
            whole.append(product / np.linalg.norm(a) / np.linalg.norm(b))
            if len(mine) >= 20:
                overlap.append(product / np.linalg.norm(mine) / np.linalg.norm(theirs))
        template = [
            abs(float(a[s : s + 30] @ b[t : t + 30])) / np.linalg.norm(a[s : s + 30]) / np.linalg.norm(b[t : t + 30])
            for s in sorted({*range(0, len(a) - 29, 10), len(a) - 30})
            for t in range(len(b) - 29)
        ]
        expected = {"whole": max(whole), "overlap": max(overlap), "template": max(template)}
        for measure, value in expected.items():
            assert found[measure][i, j] == pytest.approx(value, abs=1e-4), measure
            assert found[measure][j, i] == found[measure][i, j]


def test_a_folder_that_holds_no_data_set_is_refused_in_one_line(tmp_path, capsys):
    assert main(["leaks", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert error.count("\n") == 1
    with pytest.raises(QuaclrsError, match="measure 'loudness'"):
        LeakCheck(measures=("loudness",))


def test_the_sample_does_not_leak(sample_dataset: Path):
    check = LeakCheck(sampling_rate=4000, measures=("whole",))
    found = cross_fold_correlations(sample_dataset, check)
    assert found.pairs("whole", least=check.threshold) == []


def test_a_class_is_compared_alone_and_an_unknown_one_refused(sample_dataset: Path, capsys):
    arguments = ["leaks", str(sample_dataset), "--sampling-rate", "4000", "--measure", "whole"]
    assert main([*arguments, "--class", "police", "--class", "traffic"]) == 0
    assert "66 clips, " in capsys.readouterr().out  # 33 of each
    assert main([*arguments, "--class", "tram"]) == 2
    assert "--class tram is not a class of" in capsys.readouterr().err


# Of ambulances there are the most near-duplicates; all 130,000 pairs take minutes.
@pytest.mark.parametrize(
    ("classes", "count"), [(("ambulance",), 150 - 4), pytest.param((), 518 - 4, marks=pytest.mark.weekly)]
)
def test_no_two_real_clips_of_different_folds_correlate_above_09(real_dataset: Path, classes, count):
    found = cross_fold_correlations(real_dataset, LeakCheck(sampling_rate=4000, classes=classes))
    assert len(found.clip_ids) == count  # exact duplicates are kept once
    for measure in MEASURES:
        assert found.pairs(measure, least=0.9) == []


def test_a_copy_put_into_another_fold_of_real_clips_is_caught(shared_data: Path, tmp_path: Path):
    files = sorted((shared_data / "sireNNet" / "firetruck").glob("*.ogg"))[:8]
    clips = []
    for number, file in enumerate(files):
        waveform, rate = soundfile.read(file, dtype="float32", always_2d=True)
        clips.append((file.stem, 1 + number % 4, soxr.resample(waveform.mean(axis=1), rate, RATE)))
    clips.append(("copy", 10, 0.5 * clips[3][2][RATE // 50 :]))
    found = cross_fold_correlations(write_dataset(tmp_path / "leaky", clips), LeakCheck(sampling_rate=4000))
    for measure in MEASURES:
        assert {frozenset(pair[1:]) for pair in found.pairs(measure, least=0.9)} == {frozenset((files[3].stem, "copy"))}


def test_a_data_set_with_faulty_rows_is_one_line(tmp_path, expect_one_error_line):
    folder = write_dataset(tmp_path / "twice", [("a", 1, recording(1)), ("a", 2, recording(2))])
    assert main(["leaks", str(folder)]) == 2
    expect_one_error_line("1 clip has the clip_id of another one: a in row 1")
    (folder / "data" / "fold01-00000.parquet").write_bytes(b"PAR1")
    assert main(["leaks", str(folder)]) == 2
    expect_one_error_line(f"data set {folder} cannot be read")
