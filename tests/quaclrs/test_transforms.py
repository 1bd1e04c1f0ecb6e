"""Rows to model input: decoding, crops, draws, augmentation in workers and on the device, mixup partners."""

import io
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
from datasets import IterableDataset
from torch.utils.data import DataLoader

from quaclrs import LogMelSpectrogram, QuaclrsFeatureExtractor, load_urbansound13
from quaclrs.augment import AugmentedLogMel, Draws, Policy, VariantLogMel, clip_key
from quaclrs.errors import QuaclrsError, QuaclrsWarning
from quaclrs.transforms import ClipTransform, collate_clips, decode_once, transform_clips


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


#: Something of every kind, and mixup.
POLICY = Policy(
    {
        "mixup": {"alpha": 1.0, "probability": 0.5},
        "time_stretch": {"probability": 0.5},
        "gaussian_noise": {},
        "random_cut": {"seconds": [0.5, 3.0]},
        "spec_augment": {},
    },
    random_placement=True,
)


def augmented(clips, where: str, num_workers: int = 0, batch_size: int = 4, epoch: int = 0, views: int = 1):
    """Log-mels, labels, partner labels and shares of all clips, augmented in the loader or after it."""
    modules = [AugmentedLogMel(POLICY, LogMelSpectrogram()) for _ in range(views)]
    transform = ClipTransform(
        QuaclrsFeatureExtractor(), crop="random", seed=3, views=modules, augment_on=where, partners=clips
    )
    transform.set_epoch(epoch)
    loader = DataLoader(
        transform_clips(clips, transform), batch_size=batch_size, num_workers=num_workers, collate_fn=collate_clips
    )
    batches = list(loader)
    if where == "device":
        batches = [modules[0].augment_batch(batch, seed=3, epoch=epoch) for batch in batches]
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def test_worker_and_device_give_the_same_with_any_number_of_workers_and_batch_size(sample_dataset):
    clips = load_urbansound13(sample_dataset).select(range(0, 400, 34))
    expected = augmented(clips, "device")
    assert set(expected) == {"input_features", "labels", "partner_labels", "label_share"}
    for other in (
        augmented(clips, "device", num_workers=2),
        augmented(clips, "device", batch_size=5),
        augmented(clips, "worker"),
        augmented(clips, "worker", num_workers=2, batch_size=3),
    ):
        for name, values in expected.items():
            torch.testing.assert_close(other[name], values, atol=2e-5, rtol=0, msg=name)
    later = augmented(clips, "device", epoch=1)
    assert not torch.equal(later["input_features"], expected["input_features"])
    assert not torch.equal(later["partner_labels"], expected["partner_labels"])


def test_partners_come_from_the_whole_data_set_with_their_labels_and_only_where_clips_are_mixed(sample_dataset):
    clips = load_urbansound13(sample_dataset)
    few = clips.select(range(24))
    view = AugmentedLogMel(Policy({"mixup": {"probability": 0.5}}), LogMelSpectrogram())
    rows = transform_clips(few, ClipTransform(QuaclrsFeatureExtractor(), views=[view], partners=clips))[:]
    draws = Draws([clip_key(name) for name in few["clip_id"]])
    mixed = view.mixup.shares(draws) < 1
    assert 4 < mixed.sum() < 20
    for row in range(24):
        partner = clips[int(view.mixup.partners(draws, len(clips))[row])] if mixed[row] else few[row]
        waveform, _ = soundfile.read(io.BytesIO(partner["audio"]["bytes"]), dtype="float32")
        np.testing.assert_array_equal(rows["partner_values"][row][: len(waveform)], waveform[:192_000])
        assert rows["partner_length"][row] == min(len(waveform), 192_000)
        assert rows["partner_labels"][row] == partner["label"]


def test_several_views_of_a_clip_come_stacked_from_a_worker_and_differ(sample_dataset):
    clips = load_urbansound13(sample_dataset).select(range(4))
    two = augmented(clips, "worker", views=2)
    assert two["input_features"].shape == (4, 2, 128, 376)
    torch.testing.assert_close(two["input_features"][:, 0], augmented(clips, "worker")["input_features"])
    assert not torch.equal(two["input_features"][:, 0], two["input_features"][:, 1])


def test_a_data_set_without_clip_ids_is_refused_where_draws_depend_on_them(sample_dataset):
    clips = load_urbansound13(sample_dataset).select_columns(["audio", "label"])
    view = AugmentedLogMel(Policy({"gain": {}}), LogMelSpectrogram())
    with pytest.raises(QuaclrsError, match="clip_id"):
        transform_clips(clips, ClipTransform(QuaclrsFeatureExtractor(), views=[view]))


def test_for_the_device_workers_get_no_bank_of_noise(sample_dataset):
    view = AugmentedLogMel(Policy({"gaussian_noise": {}}), LogMelSpectrogram())
    assert len(pickle.dumps(view)) > 8_000_000
    assert len(pickle.dumps(ClipTransform(QuaclrsFeatureExtractor(), views=[view]))) < 100_000


def test_what_draws_are_made_of_stays_on_the_host(sample_dataset):
    clips = load_urbansound13(sample_dataset).select(range(2))
    view = AugmentedLogMel(Policy({"gain": {}}), LogMelSpectrogram())
    loader = DataLoader(
        transform_clips(clips, ClipTransform(QuaclrsFeatureExtractor(), views=[view])), collate_fn=collate_clips
    )
    batch = next(iter(loader))
    assert isinstance(batch["clip_key"], np.ndarray)
    assert isinstance(batch["length"], np.ndarray)
    assert batch["clip_key"].tolist() == [clip_key(clips[0]["clip_id"])]
    assert batch["length"].tolist() == [round(clips[0]["duration"] * 48_000)]
    assert isinstance(batch["input_values"], torch.Tensor)


def test_clips_decoded_once_are_the_same_to_the_bit(sample_dataset):
    clips = load_urbansound13(sample_dataset).select(range(0, 400, 40))
    decoded = decode_once(clips, 48_000)
    assert "audio" not in decoded.column_names
    transform = ClipTransform(QuaclrsFeatureExtractor())
    expected, made = transform_clips(clips, transform)[:], transform_clips(decoded, transform)[:]
    np.testing.assert_array_equal(made["input_values"], expected["input_values"])
    np.testing.assert_array_equal(made["labels"], expected["labels"])


def test_clips_are_decoded_anew_by_changed_code_and_not_by_the_same(sample_dataset, monkeypatch):
    clips = load_urbansound13(sample_dataset).select(range(0, 40, 10))
    decoded = decode_once(clips, 48_000)
    assert decode_once(clips, 48_000).cache_files == decoded.cache_files
    monkeypatch.setattr("quaclrs.transforms.code_version", lambda parts: "another")
    assert decode_once(clips, 48_000).cache_files != decoded.cache_files


@pytest.mark.parametrize("damage", ["empty", "cut off", "a batch too few"])
def test_a_damaged_cache_of_decoded_clips_is_made_again(sample_dataset, tmp_path, monkeypatch, damage):
    monkeypatch.setattr("quaclrs.transforms.code_version", lambda parts: str(tmp_path))  # a cache of this test's own
    clips = load_urbansound13(sample_dataset).select(range(0, 400, 5))
    first = decode_once(clips, 48_000)
    expected, file = first[:], Path(first.cache_files[0]["filename"])
    del first
    content = file.read_bytes()
    if damage == "a batch too few":
        clips_of_batches = pa.ipc.open_stream(content)
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, clips_of_batches.schema) as writer:
            writer.write_batch(clips_of_batches.read_next_batch())
    else:
        file.write_bytes(content[: len(content) // 2] if damage == "cut off" else b"")
    with pytest.warns(QuaclrsWarning, match="decoded clips is damaged .*; they are decoded again"):
        again = decode_once(clips, 48_000)
    assert again[:] == expected
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"crop": "left"}, "crop is 'left'"),
        ({"augment_on": "gpu"}, "augment_on is 'gpu'"),
        ({"views": [AugmentedLogMel(Policy({"mixup": {}}), LogMelSpectrogram())]}, "partners=dataset"),
    ],
)
def test_an_impossible_choice_is_refused_by_name(options, says):
    with pytest.raises(QuaclrsError, match=says):
        ClipTransform(QuaclrsFeatureExtractor(), **options)


def test_copies_are_made_of_their_clips_and_do_not_depend_on_batches_workers_or_epochs(sample_dataset):
    variants = ["", "#noise_5dB", "#timestretch_1.2", "#pitchshift_-2", "#specaugment_0", "#patchaugment_1"]
    clips = load_urbansound13(sample_dataset).select(range(0, 360, 30)).flatten_indices()
    ids = [f"{clip_id}{variants[i % 6]}" for i, clip_id in enumerate(clips["clip_id"])]
    copies = clips.remove_columns("clip_id").add_column("clip_id", ids)
    make = VariantLogMel(LogMelSpectrogram(), seed=3)
    transform = ClipTransform(QuaclrsFeatureExtractor(), variants=make)
    expected = []
    for row in copies:
        waveform, _ = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
        expected.append(make(waveform, row["clip_id"]))
    for epoch, options in enumerate(({"batch_size": 4}, {"batch_size": 5, "num_workers": 2})):
        transform.set_epoch(epoch)
        batches = list(DataLoader(transform_clips(copies, transform), **options))
        assert set(batches[0]) == {"input_features", "labels"}
        made = torch.cat([batch["input_features"] for batch in batches])
        torch.testing.assert_close(made, torch.stack(expected), atol=1e-6, rtol=0)
