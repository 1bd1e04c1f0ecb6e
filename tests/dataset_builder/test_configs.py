"""The configs audio, spectrogram and augmented: pictures, variants, folds, and the `datasets` builder of these rows."""

from __future__ import annotations

import csv
import io
import shutil
import warnings
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import librosa
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import soxr
import torch
from datasets import Audio, load_dataset
from PIL import Image

from dataset_builder import urbansound13
from dataset_builder.__main__ import main
from dataset_builder.sources import SourceClip
from dataset_builder.spectrograms import LibrosaFrontEnd, choose_copies, draw_picture
from quaclrs import load_urbansound13
from quaclrs.augment import VARIANTS, make_variant, model_front_end
from quaclrs.errors import QuaclrsError
from quaclrs.front_end import make_log_mel_config
from quaclrs.labels import CLASS_NAMES
from quaclrs.models import QuaclrsConfig, QuaclrsFeatureExtractor, QuaclrsModel
from quaclrs.transforms import ClipTransform, transform_clips

KINDS = ("audio", "spectrogram", "augmented")
COPIES = [name for name in VARIANTS if name != "original"]


def write_sources(root: Path) -> Path:
    """Eight UrbanSound8K clips in folds 1, 2, 3 and 9, two of one recording, and a siren clip for each of ten folds."""
    clips = [(f"{fold}{i}", label, fold) for fold in (1, 2, 3) for i, label in enumerate(["dog_bark", "car_horn"])]
    clips += [("180937", "jackhammer", 1), ("180937", "drilling", 9)]
    class_ids = {"car_horn": 1, "dog_bark": 3, "drilling": 4, "jackhammer": 7}
    generator = np.random.default_rng(0)
    (root / "UrbanSound8K" / "metadata").mkdir(parents=True)
    with (root / "UrbanSound8K" / "metadata" / "UrbanSound8K.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"])
        for number, (recording, label, fold) in enumerate(clips):
            name = f"{recording}-{class_ids[label]}-0-0.wav"
            writer.writerow([name, recording, 1.5, 2.0, 1, fold, class_ids[label], label])
            waveform = 10.0 ** -(number / 2) * generator.uniform(-1, 1, round(22_050 * (0.05 + 0.7 * number)))
            path = root / "UrbanSound8K" / "audio" / f"fold{fold}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, waveform * (number != 2), 22_050)  # the third clip is silent
    for i in range(10):
        path = root / "sireNNet" / "ambulance" / f"sound_{i + 1}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * generator.standard_normal((44_100, 2)), 44_100)
    return root


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("sources"))


def build(sources: Path, output: Path, *options: str) -> int:
    given = ["--urbansound8k", str(sources / "UrbanSound8K"), "--sirennet", str(sources / "sireNNet")]
    return main(["build", *given, "--output", str(output), *options])


@pytest.fixture(scope="module")
def built(sources, tmp_path_factory):
    """A folder of each kind."""
    folder = tmp_path_factory.mktemp("built")
    for kind in KINDS:
        assert build(sources, folder / kind, "--config", kind) == 0
    return {kind: folder / kind for kind in KINDS}


def rows_of(folder: Path) -> list[dict]:
    return [row for file in sorted((folder / "data").iterdir()) for row in pq.read_table(file).to_pylist()]


def pixels_of(row: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))


def picture_of(log_mel: np.ndarray, image_size: int = 224) -> np.ndarray:
    """What a model makes of a log-mel before it normalises: (image_size, image_size, 3) in [0, 255]."""
    config = QuaclrsConfig(
        backbone="mobilenetv3_small_050", log_mel={"image_size": image_size}, image_mean=[0.0] * 3, image_std=[1.0] * 3
    )
    return 255 * QuaclrsModel(config).pictures(torch.from_numpy(log_mel)[None])[0].permute(1, 2, 0).numpy()


def waveform_of(row: dict) -> np.ndarray:
    return soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")[0]


def assert_is_the_picture(row: dict, expected: np.ndarray) -> None:
    # Half a grey level of rounding, and the 5e-3 dB by which two log-mels may differ.
    assert np.abs(pixels_of(row) - expected).max() < 0.5 + 0.05, row["clip_id"]


def test_audio_is_the_default_config(sources, built, tmp_path):
    assert build(sources, tmp_path / "default") == 0
    assert rows_of(tmp_path / "default") == rows_of(built["audio"])


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
    png = draw_picture(LibrosaFrontEnd(make_log_mel_config().to_dict())(tone), 224)
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
    models, builders = model_front_end(), LibrosaFrontEnd(make_log_mel_config().to_dict())
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


def test_augmented_has_every_variant_of_every_clip_once_under_ids_and_file_names_of_their_own(built):
    parents = {row["clip_id"]: row for row in rows_of(built["audio"])}
    rows = rows_of(built["augmented"])
    assert Counter((r["parent_clip_id"], r["variant"]) for r in rows) == {(p, v): 1 for p in parents for v in VARIANTS}
    assert {row["clip_id"] for row in rows} == {f"{parent}#{variant}" for parent in parents for variant in VARIANTS}
    assert len({row["image"]["path"].casefold() for row in rows}) == len(rows)
    for row in rows:
        assert row["image"]["path"] == quote(row["clip_id"], safe="") + ".png"
        parent = parents[row["parent_clip_id"]]
        for column in parent.keys() - {"audio", "clip_id"}:
            assert row[column] == parent[column]


def test_augmented_pictures_are_those_of_the_variants(built):
    rows = {row["clip_id"]: row for row in rows_of(built["augmented"])}
    front_end = model_front_end()
    for parent in rows_of(built["audio"])[::8]:
        for variant in VARIANTS:
            log_mel = make_variant(variant, waveform_of(parent), parent["clip_id"], front_end=front_end)
            assert_is_the_picture(rows[f"{parent['clip_id']}#{variant}"], picture_of(log_mel))


@pytest.mark.slow
def test_another_seed_changes_what_is_drawn_at_random_and_nothing_else(sources, built, tmp_path):
    assert build(sources, tmp_path / "other", "--config", "augmented", "--seed", "1") == 0
    other = {row["clip_id"]: row for row in rows_of(tmp_path / "other")}
    changed = {
        row["variant"]
        for row in rows_of(built["augmented"])
        if row["image"]["bytes"] != other[row["clip_id"]]["image"]["bytes"]
    }
    assert changed == {name for name in VARIANTS if name.startswith(("noise", "spec", "patch"))}


@pytest.mark.parametrize("fold", [1, 2, 3, 9])
def test_copies_train_and_are_never_validated_or_tested_on(built, fold):
    ready = load_dataset(str(built["augmented"]), f"fold{fold}")
    originals = load_urbansound13(built["audio"], fold=fold)
    planned = load_urbansound13(built["augmented"], fold=fold)
    for split, part in ready.items():
        wanted = VARIANTS if split == "train" else ["original"]
        assert sorted(part["clip_id"]) == sorted(f"{c}#{v}" for c in originals[split]["clip_id"] for v in wanted)
        assert sorted(part["clip_id"]) == sorted(planned[split]["clip_id"])
    held_out = {*ready["validation"]["recording_id"], *ready["test"]["recording_id"]}
    assert not held_out & set(ready["train"]["recording_id"])


def test_the_papers_protocol_has_copies_in_every_split(built):
    splits = load_urbansound13(built["augmented"], fold=2, protocol="paper")
    assert all(set(part["variant"]) == set(VARIANTS) for part in splits.values())


def test_a_data_set_of_pictures_is_refused_where_audio_is_decoded(built):
    clips = load_urbansound13(built["spectrogram"])
    with pytest.raises(QuaclrsError, match="--config audio"):
        transform_clips(clips, ClipTransform(QuaclrsFeatureExtractor()))


@pytest.mark.parametrize("rows_per_cell", [1, 5])
def test_filling_gives_every_class_and_paper_fold_the_same_number_of_rows(sources, tmp_path, capsys, rows_per_cell):
    options = ["--config", "augmented", "--image-size", "32", "--fill-per-fold", str(rows_per_cell)]
    assert build(sources, tmp_path / "filled", *options) == 0
    rows = rows_of(tmp_path / "filled")
    cells = Counter((CLASS_NAMES[row["label"]], row["fold_paper"]) for row in rows)
    assert set(cells.values()) == {rows_per_cell}
    assert len(cells) == 18
    assert sum(row["variant"] == "original" for row in rows) == 18
    assert "--fill-per-fold" not in capsys.readouterr().out
    splits = load_dataset(str(tmp_path / "filled"), "fold2")  # with no copies there is no shard of copies to name
    assert set(splits["test"]["variant"]) == {"original"}


def test_filling_beyond_twelve_variants_a_clip_says_so_in_one_line_and_keeps_what_there_is(sources, tmp_path, capsys):
    old = ["--urbansound8k", str(sources / "UrbanSound8K"), "--output", str(tmp_path / "filled")]
    assert main(["build", *old, "--config", "augmented", "--image-size", "32", "--fill-per-fold", "449"]) == 0
    assert len(rows_of(tmp_path / "filled")) == 8 * 12
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "--fill-per-fold" in line]
    assert "449" in line
    assert "dog_bark fold 1: 12" in line
    assert line.count(": 12") == 6
    assert line.endswith("and 2 more")


def clips_of(count: int, label: str = "dog_bark", fold: int = 1) -> list[SourceClip]:
    return [SourceClip(f"u/{label}-{fold}-{i}", Path(), label, "u", "", "", fold_paper=fold) for i in range(count)]


def test_filling_never_drops_an_original_and_goes_round_clips_and_variants():
    clips = [*clips_of(100), *clips_of(30, "gun_shot"), *clips_of(30, "gun_shot", 2), *clips_of(2, "police")]
    copies, short = choose_copies(clips, 80)
    assert choose_copies(clips[::-1], 80) == (copies, short)
    assert short == ["police fold 1: 24"]
    counts = {clip_id: len(names) for clip_id, names in copies.items()}
    assert {count for clip_id, count in counts.items() if "dog_bark" in clip_id} == {0}
    assert sorted(count for clip_id, count in counts.items() if "gun_shot-1" in clip_id) == [1] * 10 + [2] * 20
    assert all(names == sorted(set(names), key=COPIES.index) for names in copies.values())
    used = Counter(name for clip_id, names in copies.items() if "gun_shot-1" in clip_id for name in names)
    assert set(used) == set(COPIES)
    assert max(used.values()) - min(used.values()) <= 2
    assert {tuple(names) for clip_id, names in copies.items() if "police" in clip_id} == {tuple(COPIES)}


def test_filling_many_classes_by_a_few_copies_uses_all_variants_equally():
    clips = [clip for fold in range(1, 11) for label in CLASS_NAMES for clip in clips_of(40, label, fold)]
    copies, short = choose_copies(clips, 45)
    used = Counter(name for names in copies.values() for name in names)
    assert not short
    assert sum(used.values()) == 5 * 130
    assert max(used.values()) - min(used.values()) <= 2


@pytest.mark.parametrize("kind", ["audio", "augmented", pytest.param("spectrogram", marks=pytest.mark.slow)])
def test_parquet_is_the_same_to_the_byte_from_another_path_in_another_order_by_two_processes(
    sources, built, tmp_path, monkeypatch, kind
):
    moved = tmp_path / "moved"
    shutil.copytree(sources, moved)
    scan = urbansound13.leave_out_broken

    def scan_backwards(reports, *options):
        reports = scan(reports, *options)[::-1]
        for report in reports:
            report.clips.reverse()
        return reports

    monkeypatch.setattr(urbansound13, "leave_out_broken", scan_backwards)
    assert build(moved, tmp_path / "two", "--config", kind, "--num-proc", "2") == 0
    first = {path.name: path.read_bytes() for path in (built[kind] / "data").iterdir()}
    second = {path.name: path.read_bytes() for path in (tmp_path / "two" / "data").iterdir()}
    assert first == second
    assert any("copies" in name for name in first) == (kind == "augmented")


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


def make_builder(sources: Path, cache: Path, kind: str | None, **options):
    given = {"urbansound8k": str(sources / "UrbanSound8K"), "sirennet": str(sources / "sireNNet")}
    return urbansound13.UrbanSound13(kind, cache_dir=str(cache), **given, **options)


def encoded(dataset, kind: str):
    """Rows of a builder's data set as the Parquet folder has them."""
    if kind == "audio":
        return list(dataset.cast_column("audio", Audio(decode=False)))
    return list(dataset.with_format("arrow").data.to_pylist())


@pytest.mark.parametrize(
    ("kind", "processes"),
    [*((kind, 1) for kind in KINDS), ("spectrogram", 2), pytest.param("augmented", 2, marks=pytest.mark.slow)],
)
def test_the_builder_has_the_rows_of_the_parquet_folder(sources, built, tmp_path, kind, processes):
    builder = make_builder(sources, tmp_path, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking a process with threads, as datasets does
        builder.download_and_prepare(num_proc=processes)
    dataset = builder.as_dataset("train")
    assert dataset.features == load_dataset(str(built[kind]), split="train").features
    by_id = {row["clip_id"]: row for row in encoded(dataset, kind)}
    expected = {row["clip_id"]: row for row in rows_of(built[kind])}
    assert by_id == expected
    assert len(dataset) == len(expected)
    assert len(builder.as_dataset("train[:50%]")) == len(expected) // 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_builder_streams_from_local_folders(sources, built, tmp_path, kind):
    stream = make_builder(sources, tmp_path, kind).as_streaming_dataset("train")
    if kind == "audio":
        stream = stream.cast_column("audio", Audio(decode=False))
    first, second = list(stream.take(2))
    expected = {row["clip_id"]: row for row in rows_of(built[kind])}
    for row in (first, second):
        twin = expected[row["clip_id"]]
        if kind == "audio":
            assert row == twin
        else:
            np.testing.assert_array_equal(np.asarray(row["image"]), pixels_of(twin))
    assert first["clip_id"] != second["clip_id"]


def test_the_builder_has_three_configs_and_audio_is_the_default(tmp_path):
    assert tuple(urbansound13.UrbanSound13.builder_configs) == KINDS
    builder = urbansound13.UrbanSound13(cache_dir=str(tmp_path))
    assert builder.config.name == "audio"
    assert builder.info.features["label"].names == list(CLASS_NAMES)
    with pytest.raises(QuaclrsError, match="urbansound8k=FOLDER"):
        builder.as_streaming_dataset("train")


def test_the_builder_makes_new_rows_of_changed_recordings_and_options(tmp_path):
    sources = write_sources(tmp_path / "s")
    cache = tmp_path / "cache"
    first = make_builder(sources, cache, "spectrogram", image_size=32)
    assert make_builder(sources, cache, "spectrogram", image_size=32).cache_dir == first.cache_dir
    assert make_builder(sources, cache, "spectrogram", image_size=48).cache_dir != first.cache_dir
    clip = next((sources / "UrbanSound8K" / "audio").rglob("*.wav"))
    soundfile.write(clip, np.zeros(5_000), 22_050)
    assert make_builder(sources, cache, "spectrogram", image_size=32).cache_dir != first.cache_dir


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--config", "pictures"], "--config"),
        (["--image-size", "224"], "--image-size has no meaning for --config audio"),
        (["--config", "spectrogram", "--image-size", "0"], "--image-size is 0"),
        (["--config", "augmented", "--seed", "-1"], "--seed is -1"),
        (
            ["--config", "spectrogram", "--fill-per-fold", "449"],
            "--fill-per-fold has no meaning for --config spectrogram",
        ),
        (["--config", "augmented", "--fill-per-fold", "0"], "--fill-per-fold is 0"),
    ],
)
def test_a_wrong_option_is_one_line_and_status_2_with_nothing_written(sources, tmp_path, capsys, options, says):
    assert build(sources, tmp_path / "built", *options) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_broken_clip_stops_a_build_of_pictures_by_name_with_nothing_half_written(tmp_path, capsys):
    sources = write_sources(tmp_path / "s")
    broken = sources / "sireNNet" / "ambulance" / "sound_4.wav"
    broken.write_bytes(b"no audio")
    assert build(sources, tmp_path / "built", "--config", "spectrogram") == 2
    assert str(broken) in capsys.readouterr().err
    assert not list(tmp_path.glob("built*"))
