import io
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from datasets import IterableDataset, load_dataset
from torch.utils.data import DataLoader

from quaclrs import LogMelConfig, QuaclrsFeatureExtractor, load_urbansound13
from quaclrs.data import STORED_SAMPLING_RATE
from quaclrs.errors import QuaclrsError
from quaclrs.transforms import ClipTransform, transform_clips


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


def test_rows_become_the_decoded_waveform_padded_with_silence_and_its_label(sample_dataset):
    clips = load_urbansound13(sample_dataset).select(range(0, 60, 7))
    batch = clips.with_transform(ClipTransform(QuaclrsFeatureExtractor()))[:]
    assert batch["labels"].tolist() == clips["label"][:]
    for row, prepared in zip(clips, batch["input_values"], strict=True):
        waveform, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        assert rate == 48_000
        assert len(waveform) / rate == pytest.approx(row["duration"], abs=1e-3)
        kept = waveform[max(0, (len(waveform) - 192_000) // 2) :][:192_000]
        np.testing.assert_array_equal(prepared, np.pad(kept, (0, 192_000 - len(kept))))


def test_a_transform_without_labels_in_its_rows_makes_input_only(sample_dataset):
    clips = load_urbansound13(sample_dataset).select_columns(["audio"])
    row = clips.with_transform(ClipTransform(QuaclrsFeatureExtractor()))[0]
    assert set(row) == {"input_values"}


def add_noise(waveform, sampling_rate, generator):
    """An augmentation that draws, and stretches beyond the model's length."""
    assert sampling_rate == 48_000
    return np.tile(waveform + generator.standard_normal(len(waveform), dtype=np.float32), 2)


@pytest.fixture
def drawing():
    return ClipTransform(QuaclrsFeatureExtractor(), crop="random", augment=add_noise, seed=5)


def inputs(dataset, num_workers=0, batch_size=4):
    loader = DataLoader(dataset, batch_size=batch_size, num_workers=num_workers)
    return torch.cat([batch["input_values"] for batch in loader])


def test_draws_depend_on_seed_epoch_and_clip_and_on_nothing_else(sample_dataset, drawing):
    clips = load_urbansound13(sample_dataset).select(range(12))
    first = inputs(transform_clips(clips, drawing))
    for other in (
        inputs(transform_clips(clips, drawing), batch_size=5),
        inputs(transform_clips(clips, drawing), num_workers=2),
        inputs(transform_clips(clips.select(range(11, -1, -1)), drawing)).flip(0),
    ):
        assert torch.equal(first, other)
    drawing.set_epoch(1)
    assert not torch.equal(first, inputs(transform_clips(clips, drawing)))
    drawing.set_epoch(0)
    assert torch.equal(first, inputs(transform_clips(clips, drawing)))
    another_seed = ClipTransform(QuaclrsFeatureExtractor(), crop="random", augment=add_noise, seed=6)
    assert not torch.equal(first, inputs(transform_clips(clips, another_seed)))


def test_a_new_epoch_reaches_workers_that_are_running_already(sample_dataset, drawing):
    clips = load_urbansound13(sample_dataset).select(range(4))
    loader = DataLoader(transform_clips(clips, drawing), batch_size=4, num_workers=1, persistent_workers=True)
    first = next(iter(loader))["input_values"]
    drawing.set_epoch(1)
    assert not torch.equal(first, next(iter(loader))["input_values"])


def test_a_random_crop_is_a_stretch_of_the_clip(sample_dataset):
    extractor = QuaclrsFeatureExtractor(log_mel={"duration": 0.25})
    clips = load_urbansound13(sample_dataset).select(range(20))
    transform = ClipTransform(extractor, crop="random")
    cut = transform_clips(clips, transform)[:]["input_values"]
    places = set()
    for row, prepared in zip(clips, cut, strict=True):
        waveform, _ = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        windows = np.lib.stride_tricks.sliding_window_view(waveform, 12_000)
        (found,) = np.nonzero((windows[:, :4] == prepared[:4]).all(axis=1))
        places.update(int(i) for i in found if (windows[i] == prepared).all())
    assert len(places) > 10


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_streamed_fold_gives_the_clips_of_the_loaded_one(sample_dataset, drawing, num_workers):
    stream = load_urbansound13(sample_dataset, fold=3, split="validation", streaming=True)
    assert isinstance(stream, IterableDataset)
    loaded = load_urbansound13(sample_dataset, fold=3, split="validation")
    expected = inputs(transform_clips(loaded, drawing))
    streamed = inputs(transform_clips(stream, drawing), num_workers=num_workers)
    assert len(streamed) == len(expected)
    order = torch.cdist(streamed, expected).argmin(dim=1)
    assert sorted(order.tolist()) == list(range(len(expected)))
    assert torch.equal(streamed, expected[order])


def test_a_stream_refuses_the_paper_protocol(sample_dataset):
    with pytest.raises(QuaclrsError, match="strict"):
        load_urbansound13(sample_dataset, fold=3, protocol="paper", streaming=True)
