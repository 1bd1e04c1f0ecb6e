"""From folders of recordings to a Parquet folder, on a few hand-made clips."""

import csv
import io
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import yaml
from built_pictures import rows_of
from datasets import load_dataset

from dataset_builder.__main__ import main
from dataset_builder.sources.sirennet import SIRENNET_PUBLISHED_COUNTS, scan_sirennet
from dataset_builder.sources.urbansound8k import scan_urbansound8k
from quaclrs import load_urbansound13
from quaclrs.errors import QuaclrsError
from quaclrs.labels import CLASS_NAMES
from quaclrs.locks import only_writer

CLASS_IDS = {"air_conditioner": 0, "car_horn": 1, "dog_bark": 3, "drilling": 4, "jackhammer": 7, "siren": 8}


def write_noise(path: Path, seed: int, seconds: float = 0.5, rate: int = 22_050, channels: int = 1) -> np.ndarray:
    waveform = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, rate)
    return waveform


def write_urbansound8k(root: Path, clips: list[tuple[str, str, int]], absent: tuple[str, ...] = ()) -> Path:
    """Clips as (recording, class, fold), one slice each."""
    (root / "metadata").mkdir(parents=True)
    slices: Counter[tuple[str, str]] = Counter()
    with (root / "metadata" / "UrbanSound8K.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"])
        for number, (recording, label, fold) in enumerate(clips):
            name = f"{recording}-{CLASS_IDS[label]}-0-{slices[recording, label]}.wav"
            slices[recording, label] += 1
            writer.writerow([name, recording, 1.5, 2.0, 1 + number % 2, fold, CLASS_IDS[label], label])
            if name not in absent:
                write_noise(root / "audio" / f"fold{fold}" / name, seed=number)
    return root


def write_sirennet(root: Path, counts: dict[str, int]) -> Path:
    for label, count in counts.items():
        for i in range(count):
            write_noise(root / label / f"sound_{i + 1}.wav", seed=1000 * CLASS_NAMES.index(label) + i, seconds=1.0)
    return root


@pytest.fixture
def sources(tmp_path):
    """Both sources, whole folds 1 to 3, and a recording that the official folds split."""
    clips = [(f"{fold}{i}", label, fold) for fold in (1, 2, 3) for i, label in enumerate(["dog_bark", "car_horn"])]
    clips += [("180937", "jackhammer", 1), ("180937", "drilling", 9), ("555", "siren", 1)]
    old = write_urbansound8k(tmp_path / "UrbanSound8K", clips)
    new = write_sirennet(tmp_path / "sireNNet", {"ambulance": 10, "traffic": 10})
    return old, new


def build(old: Path | None, new: Path | None, output: Path, *options: str) -> int:
    arguments = ["build", "--output", str(output), *options]
    arguments += ["--urbansound8k", str(old)] if old else []
    arguments += ["--sirennet", str(new)] if new else []
    return main(arguments)


def test_rows_carry_what_the_metadata_and_the_files_say(sources, tmp_path):
    assert build(*sources, tmp_path / "built") == 0
    rows = {row["clip_id"]: row for row in rows_of(tmp_path / "built")}
    assert len(rows) == 8 + 20
    row = rows["urbansound8k/180937-7-0-0"]
    assert CLASS_NAMES[row["label"]] == "jackhammer"
    assert (row["source"], row["recording_id"]) == ("urbansound8k", "urbansound8k/180937")
    assert (row["fold"], row["fold_paper"], row["start"], row["end"]) == (1, 1, 1.5, 2.0)
    assert (row["duration"], row["original_sampling_rate"], row["original_channels"]) == (0.5, 22_050, 1)
    assert row["licence"] == "CC BY-NC 3.0"
    assert "180937" in row["attribution"]
    siren = rows["sirennet/ambulance/sound_3"]
    assert (siren["start"], siren["end"], siren["salience"]) == (None, None, None)
    assert siren["licence"] == "unknown"
    assert not any("-8-" in clip_id for clip_id in rows)


def test_audio_is_the_resampled_mono_mix_at_its_true_length(tmp_path):
    original = write_noise(tmp_path / "s" / "traffic" / "sound_1.wav", seed=1, rate=44_100, channels=2)
    assert build(None, tmp_path / "s", tmp_path / "built") == 0
    (row,) = rows_of(tmp_path / "built")
    stored, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
    assert rate == 48_000
    assert row["original_channels"] == 2
    written = soundfile.read(tmp_path / "s" / "traffic" / "sound_1.wav")[0]
    expected = soxr.resample(written.mean(axis=1), 44_100, 48_000)
    assert len(stored) == len(expected) == round(len(original) * 48 / 44.1)
    np.testing.assert_allclose(stored, expected, atol=2**-15)


def test_transcoded_clips_are_found_under_their_own_ending(sources, tmp_path):
    old, _ = sources
    wav = old / "audio" / "fold1" / "180937-7-0-0.wav"
    samples, rate = soundfile.read(wav)
    soundfile.write(wav.with_suffix(".flac"), samples, rate)
    wav.unlink()
    assert scan_urbansound8k(old).missing == {}
    assert "urbansound8k/180937-7-0-0" in {clip.clip_id for clip in scan_urbansound8k(old).clips}


def test_what_is_missing_is_printed_by_class_and_fold(sources, tmp_path, capsys):
    old, new = sources
    shutil.rmtree(old / "audio" / "fold2")
    assert build(old, new, tmp_path / "built") == 0
    printed = capsys.readouterr().out
    assert "urbansound8k: 6 clips found, 2 missing" in printed
    assert "dog_bark          fold 2: 1" in printed
    assert f"police            {SIRENNET_PUBLISHED_COUNTS['police']}" in printed
    assert "complete folds: 1, 3, 9" in printed
    assert "dog_bark          fold 2: 1" in (tmp_path / "built" / "README.md").read_text()


@pytest.mark.parametrize("absent", [0, 1])
def test_either_source_may_be_absent(sources, tmp_path, absent):
    given: list = list(sources)
    given[absent] = None
    assert build(*given, tmp_path / "built") == 0
    assert {row["source"] for row in rows_of(tmp_path / "built")} == {["sirennet", "urbansound8k"][absent]}


def test_a_ready_fold_never_trains_on_a_recording_that_it_tests(sources, tmp_path):
    assert build(*sources, tmp_path / "built") == 0
    for fold in (1, 2, 3, 9):
        ready = load_dataset(str(tmp_path / "built"), f"fold{fold}")
        recordings = {split: set(part["recording_id"]) for split, part in ready.items()}
        assert not recordings["train"] & (recordings["validation"] | recordings["test"])
        planned = load_urbansound13(tmp_path / "built", fold=fold)
        for split, part in ready.items():
            assert sorted(part["clip_id"]) == sorted(planned[split]["clip_id"])
    split_recording = load_dataset(str(tmp_path / "built"), "fold3")["train"]
    assert Counter(split_recording["recording_id"])["urbansound8k/180937"] == 2
    assert "180937" in (tmp_path / "built" / "README.md").read_text()


def test_default_has_one_split_with_every_clip(sources, tmp_path):
    assert build(*sources, tmp_path / "built") == 0
    dataset = load_dataset(str(tmp_path / "built"))
    assert {name: len(part) for name, part in dataset.items()} == {"train": 28}
    assert dataset["train"].features["label"].names == list(CLASS_NAMES)


def test_parquet_is_the_same_to_the_byte_with_any_number_of_processes_and_from_any_path(sources, tmp_path):
    old, new = sources
    assert build(old, new, tmp_path / "one") == 0
    moved = tmp_path / "elsewhere"
    shutil.copytree(new, moved / "sireNNet")
    shutil.copytree(old, moved / "UrbanSound8K")
    assert build(moved, moved, tmp_path / "two", "--num-proc", "2") == 0
    first = {p.name: p.read_bytes() for p in (tmp_path / "one" / "data").iterdir()}
    second = {p.name: p.read_bytes() for p in (tmp_path / "two" / "data").iterdir()}
    assert first == second
    assert (tmp_path / "one" / "README.md").read_text() == (tmp_path / "two" / "README.md").read_text()


def test_large_folds_are_written_as_several_shards_of_the_same_rows(sources, tmp_path, monkeypatch):
    from dataset_builder import urbansound13

    small = urbansound13.BuildConfig(shard_bytes=1, rows_per_group=2)
    reports = [scan_urbansound8k(sources[0]), scan_sirennet(sources[1])]
    urbansound13.build_urbansound13(reports, tmp_path / "small", small)
    urbansound13.build_urbansound13(reports, tmp_path / "whole")
    assert len(list((tmp_path / "small" / "data").glob("fold01-0*.parquet"))) > 1
    assert rows_of(tmp_path / "small") == rows_of(tmp_path / "whole")
    small_fold = load_dataset(str(tmp_path / "small"), "fold1")
    whole_fold = load_dataset(str(tmp_path / "whole"), "fold1")
    for split in whole_fold:
        assert small_fold[split]["clip_id"][:] == whole_fold[split]["clip_id"][:]


@pytest.mark.parametrize("content", [b"", b"no audio at all"])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_broken_clip_stops_the_build_by_name_with_nothing_half_written(
    sources, tmp_path, capsys, content, which, processes
):
    broken = next(sources[which].rglob("*.wav"))
    broken.write_bytes(content)
    assert build(*sources, tmp_path / "built", "--num-proc", processes) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert str(broken) in errors[0]
    assert not list(tmp_path.glob("built*"))


def test_an_existing_folder_is_not_touched(sources, tmp_path, capsys):
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "thesis.txt").write_text("years of work")
    assert build(*sources, tmp_path / "built") == 2
    assert "is not empty; choose another --output" in capsys.readouterr().err
    assert (tmp_path / "built" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("command", [["build", "--sirennet", "absent"], ["sample"]])
def test_a_second_build_of_one_folder_is_told_before_it_reads_anything(tmp_path, expect_one_error_line, command):
    with only_writer(tmp_path / "built"):
        before = list(tmp_path.iterdir())
        assert main([*command, "--output", str(tmp_path / "built")]) == 2
        assert list(tmp_path.iterdir()) == before
    expect_one_error_line("built is being written by another process; wait for it, or choose another --output")


def test_folders_beside_the_output_that_look_unfinished_are_not_touched(sources, tmp_path):
    for name in ("built.partial", ".built.thesis00", "built.unfinished"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("years of work")
    before = set(tmp_path.rglob("*"))
    assert build(sources[0], None, tmp_path / "built") == 0
    assert before <= set(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["build", "--output", "x"], "--urbansound8k DIR"),
        (["build", "--output", "x", "--urbansound8k", "absent"], "absent does not exist"),
        (["build", "--output", "x", "--sirennet", "absent"], "absent does not exist"),
        (["build", "--output", "x", "--sirennet", ".", "--num-proc", "0"], "--num-proc"),
        (["build", "--sirennet", "."], "--output"),
        (["bild"], "bild"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_without_the_expected_layout_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(QuaclrsError, match=r"UrbanSound8K\.csv does not exist"):
        scan_urbansound8k(tmp_path / "empty")
    with pytest.raises(QuaclrsError, match="holds no clip"):
        scan_sirennet(tmp_path / "empty")


def test_one_name_with_two_endings_is_refused(tmp_path):
    write_noise(tmp_path / "police" / "sound_1.wav", 1)
    write_noise(tmp_path / "police" / "sound_1.flac", 2)
    with pytest.raises(QuaclrsError, match="sound_1 twice"):
        scan_sirennet(tmp_path)


def test_the_published_counts_and_only_they_carry_the_published_licence(tmp_path):
    for label, count in SIRENNET_PUBLISHED_COUNTS.items():
        (tmp_path / label).mkdir()
        for i in range(count):
            (tmp_path / label / f"sound_{i}.wav").touch()
    assert {clip.licence for clip in scan_sirennet(tmp_path).clips} == {"CC BY 4.0"}
    (tmp_path / "police" / "sound_0.wav").unlink()
    assert {clip.licence for clip in scan_sirennet(tmp_path).clips} == {"unknown"}


def test_what_is_built_of_the_sample_says_everywhere_that_it_is_synthetic(sample_dataset):
    card = (sample_dataset / "README.md").read_text()
    header = yaml.safe_load(card.split("---")[1])
    assert "synthetic" in header["pretty_name"]
    assert header["license"] == "apache-2.0"
    assert "says nothing about accuracy" in card
    rows = rows_of(sample_dataset)
    assert {row["licence"] for row in rows} == {"Apache-2.0"}
    assert all("not a recording" in row["attribution"] for row in rows)


def test_the_sample_has_13_classes_in_each_of_10_complete_folds(sample_dataset):
    counts = Counter((row["fold"], CLASS_NAMES[row["label"]]) for row in rows_of(sample_dataset))
    assert set(counts) == {(fold, label) for fold in range(1, 11) for label in CLASS_NAMES}
    assert 380 <= sum(counts.values()) <= 440


def test_the_real_recordings_build_with_folds_1_to_3_complete_and_no_recording_in_two_folds(
    real_urbansound8k, real_dataset
):
    clips = load_urbansound13(real_dataset)
    metadata = list(csv.DictReader((real_urbansound8k / "metadata" / "UrbanSound8K.csv").open()))
    on_disk = {p.stem for p in (real_urbansound8k / "audio").glob("fold*/*")}
    expected = Counter(
        row["class"] for row in metadata if Path(row["slice_file_name"]).stem in on_disk and row["class"] != "siren"
    )
    expected |= Counter({"ambulance": 150 - 4, "firetruck": 150, "police": 63, "traffic": 155})  # 4 exact duplicates
    names = clips.features["label"].names
    assert Counter(names[label] for label in clips["label"]) == expected
    assert set(load_urbansound13(real_dataset, fold=1)["validation"]["fold"]) == {3}
    with pytest.raises(QuaclrsError, match="fold 4 is not complete"):
        load_urbansound13(real_dataset, fold=4)
    leaks = (real_dataset / "README.md").read_text().split("**What still leaks.**")[1].split("##")[0]
    assert [line.split()[1] for line in leaks.splitlines()[4:] if line] == [
        "ambulance",
        "firetruck",
        "police",
        "traffic",
    ]


def test_equal_clips_are_kept_once_and_the_others_listed(sources, tmp_path):
    old, new = sources
    shutil.copy(new / "traffic" / "sound_3.wav", new / "traffic" / "sound_21.wav")
    samples, rate = soundfile.read(new / "traffic" / "sound_3.wav", dtype="int16")
    soundfile.write(new / "ambulance" / "sound_22.flac", samples, rate)  # the same samples in another coding and class
    clip = next(old.rglob("180937-7-0-0.wav"))
    shutil.copy(clip, new / "ambulance" / "sound_23.wav")
    shutil.copy(clip, clip.with_name("31-1-0-0.wav"))  # within UrbanSound8K nothing is left out
    assert build(old, new, tmp_path / "built") == 0
    ids = {row["clip_id"] for row in rows_of(tmp_path / "built")}
    assert len(ids) == 8 + 20 + 1
    card = (tmp_path / "built" / "README.md").read_text()
    kept = {"sirennet/traffic/sound_3", "sirennet/traffic/sound_21", "sirennet/ambulance/sound_22"} & ids
    assert len(kept) == 1
    assert f"sirennet/traffic/sound_21 (as {kept.pop()})" in card
    assert "are one sound in two classes" in card
    assert "sirennet/ambulance/sound_23 is also urbansound8k/180937-7-0-0" in card
    assert "sirennet/ambulance/sound_23" in ids
