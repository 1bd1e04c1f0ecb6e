"""The config spectrogram: pictures are what a model would see."""

from __future__ import annotations

import io
import shutil

import librosa
import numpy as np
import pytest
import soundfile
import soxr
from built_pictures import assert_is_the_picture, build, picture_of, pixels_of, rows_of, waveform_of, write_sources
from PIL import Image

from dataset_builder import urbansound13
from dataset_builder.__main__ import main
from dataset_builder.table.pictures import LibrosaFrontEnd, draw_picture
from quaclrs import load_urbansound13
from quaclrs.augment import model_front_end
from quaclrs.errors import QuaclrsError
from quaclrs.models import LogMelConfig, QuaclrsFeatureExtractor
from quaclrs.transforms import ClipTransform, transform_clips


def test_spectrogram_rows_are_those_of_audio_with_the_picture_that_a_model_would_see(built):
    with_audio = {row["clip_id"]: row for row in rows_of(built["audio"])}
    rows = rows_of(built["spectrogram"])
    assert len(rows) == len(with_audio) == 18
    front_end = model_front_end()
    for row in rows:
        twin = with_audio[row["clip_id"]]
        for column in twin.keys() - {"audio"}:
            assert row[column] == twin[column]
        assert set(row) - set(twin) == {"image"}
        pixels = pixels_of(row)
        assert (pixels.shape, pixels.dtype) == ((224, 224, 3), np.uint8)
        assert_is_the_picture(row, picture_of(front_end(waveform_of(twin))))


def test_a_low_tone_is_at_the_bottom_of_the_picture_and_a_short_clip_at_its_left():
    tone = np.sin(2 * np.pi * 200 * np.arange(24_000) / 48_000).astype(np.float32)
    png = draw_picture(LibrosaFrontEnd(LogMelConfig().to_dict())(tone), 224)
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (224, 224))
    pixels = np.asarray(image)[..., 0]
    assert np.argmax(pixels[:, 10]) > 200
    assert not pixels[:, 40:].any()


def test_the_builders_front_end_is_the_models_on_any_length(shared_data):
    files = sorted((shared_data / "UrbanSound8K" / "audio" / "fold1").iterdir())[::150]
    clips = [soundfile.read(file, dtype="float32") for file in files]
    generator = np.random.default_rng(1)
    waveforms = [soxr.resample(waveform, rate, 48_000) for waveform, rate in clips]
    waveforms += [
        generator.normal(0, 10.0 ** -(n % 5), n).astype(np.float32) for n in (1, 700, 191_999, 192_001, 300_000)
    ]
    models, builders = model_front_end(), LibrosaFrontEnd(LogMelConfig().to_dict())
    assert builders.sampling_rate == models.sampling_rate
    for waveform in waveforms:
        expected, given = models(waveform), builders(waveform)
        assert (given.shape, given.dtype) == (expected.shape, np.float32)
        np.testing.assert_allclose(given, expected, atol=5e-3 / 80)
    np.testing.assert_array_equal(builders(np.zeros(1_000, dtype=np.float32)), np.zeros((128, 376)))


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


def test_image_size_sets_the_picture_that_inception_takes(sources, built, tmp_path):
    assert build(sources, tmp_path / "large", "--config", "spectrogram", "--image-size", "299") == 0
    large = {row["clip_id"]: row for row in rows_of(tmp_path / "large")}
    front_end = model_front_end()
    for row in rows_of(built["audio"])[::6]:
        assert pixels_of(large[row["clip_id"]]).shape == (299, 299, 3)
        assert_is_the_picture(large[row["clip_id"]], picture_of(front_end(waveform_of(row)), 299))


def test_a_data_set_of_pictures_is_refused_where_audio_is_decoded(built):
    clips = load_urbansound13(built["spectrogram"])
    with pytest.raises(QuaclrsError, match="--config audio"):
        transform_clips(clips, ClipTransform(QuaclrsFeatureExtractor()))


def test_pictures_are_written_while_others_are_drawn(sources, tmp_path, monkeypatch):
    transcode = urbansound13.transcode_clips
    seen = []

    def watched(*arguments):
        for row in transcode(*arguments):
            on_disk = {path.name[:6] for path in tmp_path.rglob("fold*.parquet") if path.stat().st_size > 1_000}
            seen.append((row["fold"], on_disk))
            yield row

    monkeypatch.setattr(urbansound13, "transcode_clips", watched)
    assert build(sources, tmp_path / "built", "--config", "spectrogram", "--image-size", "64") == 0
    for fold, on_disk in seen:  # the fold before may be waiting for its last row group
        assert {f"fold{before:02d}" for before in range(1, fold - 1)} <= on_disk


def test_a_broken_clip_stops_a_build_of_pictures_by_name_with_nothing_half_written(tmp_path, capsys):
    sources = write_sources(tmp_path / "s")
    broken = sources / "sireNNet" / "ambulance" / "sound_4.wav"
    broken.write_bytes(b"no audio")
    assert build(sources, tmp_path / "built", "--config", "spectrogram") == 2
    assert str(broken) in capsys.readouterr().err
    assert not list(tmp_path.glob("built*"))
