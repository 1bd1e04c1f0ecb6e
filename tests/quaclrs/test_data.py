import sys

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from quaclrs import LogMelConfig, load_urbansound13
from quaclrs.data import STORED_SAMPLING_RATE
from quaclrs.errors import QuaclrsError


def test_clips_are_stored_at_the_rate_that_the_front_end_expects():
    assert LogMelConfig().sampling_rate == STORED_SAMPLING_RATE


def test_all_clips_come_as_one_data_set_with_their_audio_still_encoded(sample_dataset):
    clips = load_urbansound13(sample_dataset)
    assert len(clips) == sum(pq.read_metadata(f).num_rows for f in (sample_dataset / "data").iterdir())
    assert clips[0]["audio"]["bytes"][:4] == b"fLaC"
    assert "torchcodec" not in sys.modules


def test_a_fold_comes_as_three_splits_without_a_shared_recording(sample_dataset):
    splits = load_urbansound13(sample_dataset, fold=3)
    recordings = {name: set(part["recording_id"]) for name, part in splits.items()}
    assert set(splits["test"]["fold"]) == {3}
    assert set(splits["validation"]["fold"]) == {2}
    assert not recordings["train"] & recordings["test"]
    assert not recordings["train"] & recordings["validation"]
    assert not recordings["validation"] & recordings["test"]


@pytest.mark.parametrize("fold", [1, 10])
def test_the_ready_fold_configs_hold_the_rows_of_the_strict_protocol(sample_dataset, fold):
    ready = load_dataset(str(sample_dataset), f"fold{fold}")
    planned = load_urbansound13(sample_dataset, fold=fold)
    for split in ("train", "validation", "test"):
        assert sorted(ready[split]["clip_id"]) == sorted(planned[split]["clip_id"])


def test_one_split_of_a_fold_can_be_asked_for(sample_dataset):
    test = load_urbansound13(sample_dataset, fold=3, split="test")
    assert test["clip_id"][:] == load_urbansound13(sample_dataset, fold=3)["test"]["clip_id"][:]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"path_or_repo": "/no/such/folder"}, "/no/such/folder does not exist"),
        ({"path_or_repo": "no_such_folder"}, "no_such_folder does not exist"),
        ({"fold": 11}, "fold 11"),
        ({"split": "test"}, "needs a test fold"),
        ({"fold": 1, "split": "tests"}, "tests"),
    ],
)
def test_what_cannot_be_loaded_is_named_in_one_line(sample_dataset, arguments, says):
    with pytest.raises(QuaclrsError, match=says) as error:
        load_urbansound13(**{"path_or_repo": sample_dataset, **arguments})
    assert "\n" not in str(error.value)


def test_a_folder_that_holds_no_data_set_says_how_to_build_one(tmp_path):
    with pytest.raises(QuaclrsError, match="python -m dataset_builder build"):
        load_urbansound13(tmp_path)


def test_a_dealt_recording_in_two_folds_is_refused_at_load(sample_dataset, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text((sample_dataset / "README.md").read_text())
    for file in (sample_dataset / "data").iterdir():
        table = pq.read_table(file)
        column = table.schema.get_field_index("recording_id")
        moved = [
            "sirennet/traffic/everywhere" if source == "sirennet" else recording
            for source, recording in zip(table["source"].to_pylist(), table["recording_id"].to_pylist(), strict=True)
        ]
        pq.write_table(table.set_column(column, table.schema.field(column), [moved]), tmp_path / "data" / file.name)
    with pytest.raises(QuaclrsError, match="sirennet/traffic/everywhere lies in folds 1, 2"):
        load_urbansound13(tmp_path)


def test_a_stream_refuses_the_paper_protocol(sample_dataset):
    with pytest.raises(QuaclrsError, match="strict"):
        load_urbansound13(sample_dataset, fold=3, protocol="paper", streaming=True)


def test_a_cache_that_cannot_be_written_is_named_and_not_the_data_set(sample_dataset, monkeypatch):
    def fail(*_, **__):
        raise PermissionError(13, "Permission denied", "/cache/datasets/a.lock")

    monkeypatch.setattr("datasets.load_dataset_builder", fail)
    with pytest.raises(QuaclrsError, match=r"the cache /cache/datasets/a\.lock cannot be written") as error:
        load_urbansound13(sample_dataset)
    assert "repository" not in str(error.value)
