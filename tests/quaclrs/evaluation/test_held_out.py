"""Were the clips of an evaluation kept from the model? Answers by fold, protocol and data set."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile

from quaclrs import load_urbansound13
from quaclrs.evaluation.evaluation_clips import choose_clips
from quaclrs.evaluation.held_out import find_held_out
from quaclrs.evaluation.training_data import TrainingData
from quaclrs.labels import CLASS_NAMES


def trained(dataset, protocol: str = "strict", **about) -> TrainingData:
    """What a run with test fold 2 has heard; its validation fold is 1."""
    rows = load_urbansound13(dataset, fold=2, split="train", protocol=protocol)
    folds = {"test_fold": 2, "validation_fold": 1}
    return TrainingData.of_training(rows, **{"dataset": "sample", "protocol": protocol, **folds, **about})


@pytest.mark.parametrize(
    ("options", "answer", "warning"),
    [
        ({"fold": 2}, True, ""),
        ({"fold": 2, "split": "validation"}, True, ""),
        ({"fold": 2, "split": "train"}, False, "it was kept from fold 2 (strict protocol)"),
        ({"fold": 1}, True, "fold 1 chose an epoch or offsets"),
        ({"fold": 3}, False, "it was kept from fold 2 (strict protocol)"),
        ({}, False, "it was kept from fold 2 (strict protocol)"),
        ({"fold": 2, "protocol": "paper"}, False, "it was kept from fold 2 (strict protocol)"),
    ],
)
def test_a_run_has_heard_all_but_its_test_and_validation_folds(options, answer, warning, sample_dataset):
    clips = choose_clips(sample_dataset, CLASS_NAMES, **options)
    found = find_held_out(clips, trained(sample_dataset))
    assert found.answer is answer
    assert (found.heard > 0) is (not answer)
    assert warning in " ".join(found.warnings) if warning else not found.warnings


def test_a_run_of_the_papers_protocol_has_heard_recordings_of_either_protocols_test(sample_dataset):
    heard = trained(sample_dataset, "paper")
    of_paper = choose_clips(sample_dataset, CLASS_NAMES, fold=2, protocol="paper")
    assert find_held_out(of_paper, heard).answer
    strict = find_held_out(choose_clips(sample_dataset, CLASS_NAMES, fold=2), heard)
    assert strict.answer is False and "fold 2 (paper protocol)" in strict.warnings[0]


def test_a_model_of_every_clip_has_heard_any_fold_and_one_that_says_nothing_leaves_it_open(sample_dataset):
    clips = choose_clips(sample_dataset, CLASS_NAMES, fold=2)
    everything = {"test_fold": None, "validation_fold": None}
    of_all = TrainingData.of_training(load_urbansound13(sample_dataset), dataset="sample", **everything)
    found = find_held_out(clips, of_all)
    assert (found.answer, found.heard) == (False, len(clips))
    assert "it has trained on every clip of sample" in found.warnings[0]
    unknown = TrainingData.of_model(None)
    assert (find_held_out(clips, unknown).answer, find_held_out(clips, unknown).warnings) == (None, ())
    (advice,) = find_held_out(choose_clips(sample_dataset, CLASS_NAMES), unknown).warnings
    assert "give --fold" in advice
    assert find_held_out(clips, unknown | trained(sample_dataset)).answer is None


def folder_of(files: dict[str, Path], folder: Path) -> Path:
    """A folder of sounds of one class: name of a file -> what it is a copy of."""
    (folder / "dog_bark").mkdir(parents=True)
    for name, file in files.items():
        shutil.copy(file, folder / "dog_bark" / name)
    return folder


def test_renamed_training_files_are_known_by_their_samples_and_others_may_be_renamed(sample_dataset, tmp_path):
    heard = trained(sample_dataset)
    rows = load_urbansound13(sample_dataset, fold=2, split="train")
    of_sirens = next(clip_id for clip_id in rows["clip_id"] if clip_id.startswith("sirennet/"))
    known, foreign = sample_dataset / f"sireNNet/{of_sirens.partition('/')[2]}.wav", tmp_path / "foreign.wav"
    samples, rate = soundfile.read(known, dtype="int16")
    soundfile.write(tmp_path / "same.flac", samples, rate)
    soundfile.write(foreign, samples[::-1], rate)

    def ask(name: str, files: dict[str, Path]):
        return find_held_out(choose_clips(folder_of(files, tmp_path / name), CLASS_NAMES), heard)

    renamed = ask("renamed", {"a.wav": known, "b.flac": tmp_path / "same.flac", "c.wav": foreign})
    assert (renamed.answer, renamed.heard) == (False, 2)
    assert "2 of these 3 clips, known by file name and samples" in renamed.warnings[0]
    others = ask("others", {"c.wav": foreign})
    assert (others.answer, others.heard, others.warnings) == (None, 0, ())
    assert "both can be changed" in others.unknown
    # Names that hold the number of a recording at Freesound tell which recording it is.
    assert ask("numbered", {"1-999999999-A-0.wav": foreign}).answer is True
    assert ask("mixed", {"1-999999999-A-0.wav": foreign, "c.wav": foreign}).answer is None


def test_clips_that_cannot_be_decoded_are_known_by_no_samples(sample_dataset, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    folder = folder_of({"broken.wav": tmp_path / "broken.wav"}, tmp_path / "sounds")
    assert find_held_out(choose_clips(folder, CLASS_NAMES), trained(sample_dataset)).answer is None
