"""The config spectrogram: pictures are what a model would see, and what an image classifier learns from."""

from __future__ import annotations

import shutil

import librosa
import numpy as np
import pytest
import soundfile
import soxr
import torch
from built_pictures import assert_is_the_picture, build, picture_of, pixels_of, rows_of, waveform_of, write_sources
from datasets import load_dataset
from PIL import Image
from transformers import ResNetConfig, ResNetForImageClassification

from dataset_builder import urbansound13
from dataset_builder.__main__ import main
from dataset_builder.table.pictures import picture_rows
from quaclrs import load_urbansound13
from quaclrs.audio import encode_flac
from quaclrs.errors import QuaclrsError
from quaclrs.models import LogMelSpectrogram, QuaclrsFeatureExtractor


def test_spectrogram_rows_are_those_of_audio_with_the_picture_that_a_model_would_see(built):
    with_audio = {row["clip_id"]: row for row in rows_of(built["audio"])}
    rows = rows_of(built["spectrogram"])
    assert len(rows) == len(with_audio) == 18
    for row in rows:
        twin = with_audio[row["clip_id"]]
        for column in twin.keys() - {"audio"}:
            assert row[column] == twin[column]
        assert set(row) - set(twin) == {"image", "variant"}
        assert row["variant"] == "original"
        pixels = pixels_of(row)
        assert (pixels.shape, pixels.dtype) == ((224, 224, 3), np.uint8)
        values = QuaclrsFeatureExtractor()([waveform_of(twin)])["input_values"]
        assert_is_the_picture(row, picture_of(LogMelSpectrogram()(torch.from_numpy(values))[0]))


def test_a_low_tone_is_at_the_bottom_of_the_picture_and_a_short_clip_at_its_left():
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(24_000) / 48_000).astype(np.float32)
    (row,) = picture_rows({"audio": {"bytes": encode_flac(tone, 48_000)}, "clip_id": "a/b"}, ("original",))
    assert row["image"]["bytes"].startswith(b"\x89PNG")
    pixels = pixels_of(row)
    assert pixels.shape == (224, 224, 3)
    assert (pixels == pixels[..., :1]).all()
    assert np.argmax(pixels[:, 10, 0]) > 200
    assert not pixels[:, 40:].any()


def test_real_clips_become_the_pictures_of_their_librosa_log_mels(shared_data, tmp_path):
    source = shared_data / "UrbanSound8K"
    copied = tmp_path / "s" / "UrbanSound8K"
    shutil.copytree(source / "metadata", copied / "metadata")
    chosen = [file for fold in ("fold1", "fold2") for file in sorted((source / "audio" / fold).iterdir())[::220]]
    for file in chosen:
        (copied / "audio" / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copied / "audio" / file.parent.name)
    assert (
        main(["build", "--urbansound8k", str(copied), "--output", str(tmp_path / "b"), "--config", "spectrogram"]) == 0
    )
    rows = rows_of(tmp_path / "b")
    assert 4 <= len(rows) <= len(chosen)
    for row in rows:
        (file,) = [file for file in chosen if file.stem == row["clip_id"].split("/")[1]]
        waveform, rate = soundfile.read(file, dtype="float32")
        clip = np.round(soxr.resample(waveform, rate, 48_000) * 32_767) / 32_768  # stored with 16 bits
        mel = librosa.feature.melspectrogram(
            y=np.pad(clip, (0, max(0, 192_000 - len(clip))))[:192_000].astype(np.float32),
            sr=48_000,
            hop_length=512,
            fmin=20,
            fmax=8000,
            pad_mode="constant",
        )
        grey = 1 + librosa.power_to_db(mel, ref=np.max) / 80
        resized = Image.fromarray(grey[::-1].astype(np.float32)).resize((224, 224), Image.Resampling.BILINEAR)
        difference = np.abs(pixels_of(row) - 255 * np.asarray(resized)[..., None])
        assert np.mean(difference < 0.55) > 0.999
        assert difference.max() < 1.5


def test_a_data_set_of_pictures_is_refused_where_audio_is_needed(built):
    with pytest.raises(
        QuaclrsError, match=r"has no column audio; .* build it with python -m dataset_builder build"
    ) as error:
        load_urbansound13(built["spectrogram"])
    assert "\n" not in str(error.value)


def test_a_transformers_image_classifier_learns_from_the_pictures(sample_sources, tmp_path):
    # UrbanSound8K's nine classes alone: grouping the others takes longer than learning from the pictures. Of its folds
    # those that are tested and validated, and half of those that train.
    whole, few = sample_sources / "UrbanSound8K", tmp_path / "UrbanSound8K"
    shutil.copytree(whole, few, ignore=shutil.ignore_patterns("fold7", "fold8", "fold9", "fold10"))
    urbansound8k = ["--urbansound8k", str(few), "--config", "spectrogram"]
    assert main(["build", *urbansound8k, "--output", str(tmp_path / "pictures")]) == 0
    fold = load_dataset(str(tmp_path / "pictures"), "fold2")

    def batch(split: str) -> tuple[torch.Tensor, torch.Tensor]:
        small = [np.asarray(row["image"].resize((64, 64)), dtype=np.float32) / 255 for row in fold[split]]
        return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2), torch.tensor(fold[split]["label"][:])

    pixels, labels = batch("train")
    torch.manual_seed(0)
    names = fold["train"].features["label"].names
    config = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=len(names)
    )
    model = ResNetForImageClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(16):
        for rows in torch.randperm(len(labels)).split(32):
            loss = model(pixel_values=pixels[rows], labels=labels[rows]).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    pixels, labels = batch("test")
    with torch.no_grad():
        predicted = model.eval()(pixel_values=pixels).logits.argmax(1)
    assert (predicted == labels).float().mean() > 3 / len(names)


def test_pictures_are_written_while_others_are_drawn(sources, tmp_path, monkeypatch):
    transcode = urbansound13.transcode_clips
    seen = []

    def watched(*arguments):
        for row in transcode(*arguments):
            on_disk = {path.name[:6] for path in tmp_path.rglob("fold*.parquet") if path.stat().st_size > 1_000}
            seen.append((row["fold"], on_disk))
            yield row

    monkeypatch.setattr(urbansound13, "transcode_clips", watched)
    assert build(sources, tmp_path / "built", "--config", "spectrogram") == 0
    for fold, on_disk in seen:  # the fold before may be waiting for its last row group
        assert {f"fold{before:02d}" for before in range(1, fold - 1)} <= on_disk


def test_a_broken_clip_stops_a_build_of_pictures_by_name_with_nothing_half_written(tmp_path, capsys):
    sources = write_sources(tmp_path / "s")
    broken = sources / "sireNNet" / "ambulance" / "sound_4.wav"
    broken.write_bytes(b"no audio")
    assert build(sources, tmp_path / "built", "--config", "spectrogram") == 2
    assert str(broken) in capsys.readouterr().err
    assert not list(tmp_path.glob("built*"))
