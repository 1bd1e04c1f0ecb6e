"""What never ends, or never begins: pipes and devices are read up to a bound, and say in one line what they gave."""

from __future__ import annotations

import io
import itertools
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from bad_audio import encoded, noise

from quaclrs import QuaclrsError
from quaclrs.audio import AudioError, pipes, read_recording
from quaclrs.cli import main
from quaclrs.inference.windows import read_windows


class Endless(io.RawIOBase):
    """Bytes, and others again and again; it counts what was read."""

    def __init__(self, begin: bytes, rest: bytes) -> None:
        self.pieces = itertools.chain([begin] if begin else [], itertools.repeat(rest))
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = next(self.pieces)
        self.read_bytes += len(piece)
        return piece


READ = {
    "predict": lambda file: read_recording(file, longest=5.0),
    "timeline": lambda file: list(read_windows(file, 16_000, 4.0, 1.0)),
}


@pytest.mark.parametrize("door", READ)
@pytest.mark.parametrize(
    ("rest", "words"),
    [
        (bytes(4096), "nothing but zeros"),
        (b"y\n" * 2048, "text, no sound"),
        (b"PK\x03\x04" + bytes(range(256)) * 16, "a ZIP archive"),
    ],
    ids=["zeros", "yes", "archive"],
)
def test_what_no_sound_begins_with_is_refused_by_its_beginning(door: str, rest: bytes, words: str) -> None:
    endless = Endless(b"", rest)
    with pytest.raises(AudioError, match=words) as error:
        READ[door](endless)
    assert "\n" not in str(error.value) and "empty" not in str(error.value)
    assert endless.read_bytes < 1 << 16


@pytest.mark.parametrize("door", READ)
def test_noise_is_refused_before_it_fills_the_disk(door: str, monkeypatch) -> None:
    monkeypatch.setattr(pipes, "_IN_MEMORY", 1 << 20)
    endless = Endless(b"", b"\x07\x90" + np.random.default_rng(0).bytes(1 << 16))
    with pytest.raises(AudioError, match="cannot be decoded as audio"):
        READ[door](endless)
    assert endless.read_bytes < 1 << 21


@pytest.mark.parametrize("form", ["WAV", "FLAC", "MP3"])
def test_a_sound_without_end_is_refused_at_the_bound(form: str, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(pipes, "_IN_MEMORY", 1 << 20)
    monkeypatch.setattr(pipes, "_LONGEST", 1 << 22)
    monkeypatch.setattr(pipes.tempfile, "tempdir", str(tmp_path))
    endless = Endless(encoded(noise(), form), bytes(1 << 18))
    with pytest.raises(AudioError, match="the open file goes on for more than"):
        read_recording(endless)
    assert 1 << 22 <= endless.read_bytes < (1 << 22) + (1 << 20)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_finds_no_room_is_one_line(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(pipes, "_IN_MEMORY", 1 << 10)
    monkeypatch.setattr(pipes.tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(AudioError, match=r"cannot be copied to .*absent .* make room, or set TMPDIR"):
        read_recording(Endless(encoded(noise()), bytes(1 << 10)))


@pytest.mark.parametrize("command", ["predict", "timeline"])
@pytest.mark.parametrize("name", ["-", "/dev/zero"])
def test_a_device_that_gives_zeros_for_ever_is_one_line(
    command, name, monkeypatch, tiny_classifier_folder, expect_one_error_line, capsys
) -> None:
    with open("/dev/zero") as zeros:
        monkeypatch.setattr(sys, "stdin", zeros)
        arguments = [command, name, "--model", str(tiny_classifier_folder), "--device", "cpu"]
        assert main(arguments) == 2
    expect_one_error_line("is nothing but zeros")


def test_a_named_pipe_is_heard_once_somebody_writes_into_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    content = encoded(noise())
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(content))
    writer.start()
    heard = read_recording(tmp_path / "pipe").waveform
    writer.join()
    np.testing.assert_array_equal(heard, read_recording(content).waveform)


def test_a_named_pipe_into_which_nobody_writes_is_not_waited_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(pipes, "_PATIENCE", 0.05)
    os.mkfifo(tmp_path / "pipe.wav")
    for read in READ.values():
        with pytest.raises(AudioError, match="into which nothing is written; start what writes first"):
            read(tmp_path / "pipe.wav")


def test_a_file_that_is_closed_or_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(encoded(noise()))
    with (tmp_path / "a.wav").open("rb") as closed:
        pass
    with pytest.raises(AudioError, match=r"a\.wav is closed; open it again"):
        read_recording(closed)
    with (tmp_path / "b.wav").open("wb") as written, pytest.raises(AudioError, match=r"b\.wav cannot be read"):
        read_recording(written)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(writing, "wb"), open(reading, "rb") as pipe, pytest.raises(QuaclrsError, match="gives nothing yet"):
        read_recording(pipe)
