"""Clips that decode and are none: they are named and left out; whatever passes that check is built."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from test_build import rows_of, write_noise, write_sirennet

from dataset_builder.__main__ import main
from dataset_builder.recordings.duplicates import pcm_fingerprint


def write_wav(path: Path, samples: np.ndarray, rate: int, stated_bytes: int | None = None) -> None:
    """A WAV of float32 or uint8 (frames, channels) with whatever its header is to say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content, width, channels = samples.tobytes(), samples.itemsize, samples.shape[1]
    form = struct.pack("<HHIIHH", 3 if width == 4 else 1, channels, rate, 0, width * channels, 8 * width)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(content) if stated_bytes is None else stated_bytes) + content
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)


def tone(frames: int, channels: int = 1, loudness: float = 0.1) -> np.ndarray:
    noise = np.random.default_rng(frames).uniform(-1, 1, (frames, channels))
    return (loudness * noise).astype(np.float32)


def write_odd_clips(folder: Path) -> list[str]:
    """Clips that are to be left out; their names."""
    largest = np.finfo(np.float32).max
    write_wav(folder / "one_sample.wav", tone(1), 44_100)
    write_wav(folder / "two_samples.wav", tone(2), 44_100)
    write_wav(folder / "no_samples.wav", tone(0), 44_100)
    write_wav(folder / "channels_255.wav", tone(2_205, 255), 44_100)
    write_wav(folder / "rate_1.wav", tone(10), 1)
    write_wav(folder / "rate_1_for_a_day.wav", tone(86_400), 1)
    write_wav(folder / "rate_2_GHz.wav", tone(88_200), 2_000_000_000)
    write_wav(folder / "largest.wav", largest * np.sign(tone(4_410)), 44_100)
    write_wav(folder / "largest_stereo.wav", largest * np.sign(tone(4_410, 2)), 44_100)
    write_wav(folder / "states_1_GB.wav", tone(1), 44_100, stated_bytes=1 << 30)
    write_wav(folder / "ten_minutes_and_a_second.wav", np.full((60_100, 1), 128, np.uint8), 100)
    return [path.name for path in folder.iterdir()]


def test_odd_clips_are_named_and_left_out_and_with_them_a_class_that_holds_nothing_else(tmp_path, capsys):
    sources = write_sirennet(tmp_path / "sources", {"traffic": 3})
    odd = write_odd_clips(tmp_path / "weird")
    for name in odd:
        (sources / "traffic" / name).write_bytes((tmp_path / "weird" / name).read_bytes())
    given = ["build", "--sirennet", str(sources), "--extra", f"weird={tmp_path / 'weird'}"]
    assert main([*given, "--skip-broken", "--output", str(tmp_path / "built")]) == 0
    broken = [line for line in capsys.readouterr().err.splitlines() if line.startswith("broken: ")]
    assert len(broken) == 2 * len(odd)
    for folder in (sources / "traffic", tmp_path / "weird"):
        assert all(sum(line.startswith(f"broken: {folder / name}") for line in broken) == 1 for name in odd)
    assert {row["clip_id"] for row in rows_of(tmp_path / "built")} == {f"sirennet/traffic/sound_{i}" for i in (1, 2, 3)}
    assert main([*given, "--output", str(tmp_path / "stopped")]) == 2
    assert not list(tmp_path.glob("*stopped*"))


@pytest.mark.parametrize("kind", ["audio", "augmented"])
def test_whatever_else_decodes_is_built_with_its_length_rate_and_channels(tmp_path, kind):
    clips = {"constant": np.full((4_410, 1), 0.5, np.float32), "silent": np.zeros((4_410, 1), np.float32)}
    clips |= {"faint": tone(4_410, loudness=1e-30), "loud": tone(4_410, loudness=1e14), "click": tone(4_410) * 0}
    clips["click"][100] = 1
    of_44_100 = {f"{name}_44100": clip for name, clip in clips.items()}
    lengths = [(rate, frames) for rate in (100, 4_000, 11_025, 1_000_000) for frames in (rate // 100 + 1, rate // 9)]
    others = {f"clip{frames}_{rate}": tone(frames) for rate, frames in lengths}
    many = {"channels_44100": tone(4_410, 64)}
    written = of_44_100 | others | many
    for name, clip in written.items():
        write_wav(tmp_path / "weird" / f"{name}.wav", clip, int(name.split("_")[1]))
    given = ["build", "--extra", f"weird={tmp_path / 'weird'}", "--config", kind]
    assert main([*given, "--output", str(tmp_path / "built")]) == 0
    rows = {row["clip_id"].removeprefix("extra/weird/"): row for row in rows_of(tmp_path / "built")}
    assert set(written) <= set(rows)
    assert len(rows) == len(written) * (12 if kind == "augmented" else 1)
    for name, clip in written.items():
        row, rate = rows[name], int(name.split("_")[1])
        assert (row["original_channels"], row["original_sampling_rate"]) == (clip.shape[1], rate)
        assert row["duration"] == pytest.approx(len(clip) / rate)


def test_what_goes_wrong_after_the_check_names_the_clip(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise ValueError("cannot reshape array")

    write_noise(tmp_path / "weird" / "a.wav", seed=1)
    for place in ("dataset_builder.recordings.assignment.mel_quantiles", "dataset_builder.table.transcode.encode_flac"):
        with monkeypatch.context() as patch:
            patch.setattr(place, fail)
            given = ["build", "--extra", f"weird={tmp_path / 'weird'}", "--output", str(tmp_path / "built")]
            assert main(given) == 2
        (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert f"{tmp_path / 'weird' / 'a.wav'} cannot be built (cannot reshape array)" in error
        assert not list(tmp_path.glob("*built*"))


def test_a_fingerprint_is_of_all_channels_in_their_order_and_knows_no_negative_zero():
    left, right = tone(100)[:, 0], tone(101)[:100, 0]
    prints = {pcm_fingerprint(np.stack(pair), 8_000) for pair in ((left, right), (right, left), (left, left))}
    assert len(prints) == 3
    assert pcm_fingerprint(np.array([[-0.0]]), 8_000) == pcm_fingerprint(np.array([[0.0]]), 8_000)
