"""A file that is not a sound is called by its name, with advice that helps."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.audio import AudioError, read_recording
from quaclrs.audio.kinds import kind_of

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 128044\n"


@pytest.mark.parametrize("ending", ["wav", "mp3", "au", "snd", "gsm", "vox", "ogg", "flac", "sound"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LFS, r"is a Git LFS pointer and not the sound itself; fetch it \(git lfs pull\)"),
        (b"\n <!DOCTYPE HTML>\n<title>404</title>", r"is a web page \(HTML\), no sound; download the file itself"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is an XML document, no sound"),
        (b'{"error": "not found"}', "is a JSON document, no sound"),
        ("these are notes, not sound: äöü\n".encode() * 40, "is text, no sound"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(100), "is MP4, M4A or 3GP, which libsndfile does not decode; convert it"),
        (bytes(600), "is nothing but zeros; copy it from its source again"),
        (b"\xff\xf1\x50\x80" + bytes(100), "is AAC, which libsndfile does not decode"),
    ],
)
def test_a_file_is_called_by_its_name_whatever_its_ending(
    ending: str, content: bytes, words: str, tmp_path: Path, capfd
) -> None:
    file = tmp_path / f"clip.{ending}"
    file.write_bytes(content)
    with pytest.raises(AudioError, match=rf"clip\.{ending} {words}") as error:
        read_recording(file)
    assert "\n" not in str(error.value)
    with pytest.raises(AudioError, match=f"upload 7 {words}"):
        read_recording(content, name="upload 7")
    assert capfd.readouterr().err == ""  # libmpg123 writes into the process's own stderr


def test_a_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioError, match=r"a\.wav may not be read \(permission denied\)"):
        read_recording(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a\0b.wav", "x" * 300 + ".wav"])
def test_a_path_that_cannot_be_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"cannot be read|does not exist") as error:
        read_recording(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_disk_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.BytesIO):
        def read(self, *_: int) -> bytes:
            raise OSError(5, "Input/output error")

    (tmp_path / "a.wav").write_bytes(b"RIFF")
    monkeypatch.setattr(Path, "open", lambda *_: Broken(b"RIFF"))
    with pytest.raises(AudioError, match=r"a\.wav cannot be read \(Input/output error\)"):
        read_recording(tmp_path / "a.wav")


def test_the_beginning_of_a_sound_is_nothing_else() -> None:
    for form in ("WAV", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF", "W64"):
        buffer = io.BytesIO()
        soundfile.write(buffer, np.sin(np.arange(9000) / 9), 16_000, format=form)
        assert kind_of(buffer.getvalue()[:512]) is None, form


def test_telephone_sound_without_a_header_is_known_by_its_ending_alone(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.vox", 0.3 * np.sin(np.arange(8000) / 5), 8000, format="RAW", subtype="VOX_ADPCM")
    recording = read_recording(tmp_path / "call.vox")
    assert (recording.sampling_rate, recording.duration) == (8000, pytest.approx(1.0, abs=0.05))
