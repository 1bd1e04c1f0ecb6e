"""Bad audio: damaged, lying, absurd, or no audio at all. `write_bad_audio` makes all of it in a second or two."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000


@dataclass(frozen=True)
class BadSound:
    """A file, and what becomes of it.

    Attributes:
        file: to be heard.
        refused: words of the one line that refuses it, ` | ` between those of several doors; empty where it is heard.
        silent: nothing can be heard in it, so that it is heard as silence.
    """

    file: Path
    refused: str = ""
    silent: bool = False

    def is_refused_by(self, line: str) -> bool:
        """True for a line that says what is wrong."""
        return "\n" not in line and any(words in line for words in self.refused.split(" | "))


def noise(seconds: float = 1.0, channels: int = 1, seed: int = 0) -> np.ndarray:
    """float32 (samples, channels) of two thirds of full scale at most."""
    samples = np.random.default_rng(seed).uniform(-0.6, 0.6, (round(seconds * RATE), channels))
    return samples.astype(np.float32)


def encoded(samples: np.ndarray, form: str = "WAV", subtype: str | None = None, rate: int = RATE) -> bytes:
    """The bytes of a sound file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype=subtype)
    return buffer.getvalue()


def wav(
    data: bytes, rate: int = RATE, channels: int = 1, size: int | None = None, form: int = 1, bits: int = 16
) -> bytes:
    """A WAV by hand, whose header may say anything."""
    size = len(data) if size is None else size
    frame = channels * bits // 8 & 0xFFFF
    head = struct.pack("<HHIIHH", form, channels, rate, rate * frame & 0xFFFFFFFF, frame, bits)
    return (
        b"RIFF" + struct.pack("<I", min(size + 36, 0xFFFFFFFF)) + b"WAVEfmt " + struct.pack("<I", 16) + head
        + b"data" + struct.pack("<I", size) + data
    )  # fmt: skip


def write_bad_audio(folder: Path) -> dict[str, BadSound]:
    """Write the corpus into a new folder: name of a case -> what it is; pipes and links are among it."""
    folder.mkdir()
    cases: dict[str, BadSound] = {}
    for name, content, refused in (*_no_audio(), *_damaged(), *_lying(), *_absurd()):
        (folder / name).write_bytes(content)
        cases[name] = BadSound(folder / name, refused)
    for name, content in _silent():
        (folder / name).write_bytes(content)
        cases[name] = BadSound(folder / name, silent=True)
    for name, content in _subtypes():
        (folder / name).write_bytes(content)
        cases[name] = BadSound(folder / name)
    for name, make, refused in _no_files():
        make(folder / name)
        cases[name] = BadSound(folder / name, refused)
    return cases | _names(folder)


def _no_audio() -> Iterator[tuple[str, bytes, str]]:
    random = np.random.default_rng(1).bytes
    yield "empty.wav", b"", "is empty (0 bytes)"
    yield "random.wav", b"\x07\x90" + random(4094), "cannot be decoded as audio"
    yield "zeros.wav", bytes(4096), "nothing but zeros"
    yield "text.wav", b"this is no sound\n" * 60, "text, no sound"
    yield "page.mp3", b"<!DOCTYPE html><html><body>404</body></html>" * 20, "a web page"
    yield "table.flac", b"PAR1" + random(900), "a Parquet table"
    yield "archive.ogg", b"PK\x03\x04" + random(900), "a ZIP archive"
    yield "picture.wav", b"\x89PNG\r\n\x1a\n" + random(900), "a picture (PNG)"
    yield "pointer.wav", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "Git LFS pointer"
    yield "film.m4a", b"\0\0\0\x20ftypM4A " + bytes(900), "MP4, M4A or 3GP"
    yield "notes.wav", b"MThd" + bytes(60), "MIDI"
    yield "other_byte_order.wav", b"RIFX" + encoded(noise())[4:], "cannot be decoded as audio"
    yield "other_magic.flac", b"fLaX" + encoded(noise(), "FLAC")[4:], "cannot be decoded as audio"
    yield "frames_without_sound.mp3", b"\xff\xfb\x90\x00" * 4096, "cannot be decoded as audio"
    yield "tag_alone.mp3", b"ID3\4\0\0\0\0\x10\0" + bytes(2048), "cannot be decoded as audio"
    yield "chunks_without_end.wav", b"RIFF\xff\xff\xff\x7fWAVE" + bytes(1 << 20), "cannot be decoded as audio"


def _damaged() -> Iterator[tuple[str, bytes, str]]:
    content = encoded(noise())
    for size in (1, 3, 4, 8, 11, 12, 16, 20, 30, 36, 40):
        yield f"wav_of_{size}_bytes.wav", content[:size], "text, no sound | cannot be decoded as audio"
    yield "wav_of_44_bytes.wav", content[:44], "holds no samples"
    yield "wav_of_46_bytes.wav", content[:46], ""
    yield "half.wav", content[: len(content) // 2], ""
    for form, heads in (("FLAC", (4, 42)), ("OGG", (28, 60)), ("MP3", (4,)), ("AIFF", (12, 40)), ("AU", (12,))):
        content = encoded(noise(2.0), form)
        for size in heads:
            yield f"{form.lower()}_of_{size}_bytes.{form.lower()}", content[:size], "no sound | no samples | decoded "
        yield f"two_thirds.{form.lower()}", content[: len(content) * 2 // 3], ""
        hole = len(content) // 2
        yield f"hole.{form.lower()}", content[:hole] + bytes(300) + content[hole + 300 :], ""
    flac = bytearray(encoded(noise(10.0), "FLAC"))
    for place in range(9000, len(flac), 1500):
        flac[place] ^= 0xFF
    yield "holes.flac", bytes(flac), ""
    yield "noise_behind.mp3", encoded(noise(2.0), "MP3") + np.random.default_rng(2).bytes(1 << 18), ""


def _lying() -> Iterator[tuple[str, bytes, str]]:
    data = (noise() * 32767).astype("<i2").tobytes()
    yield "claims_4_gb.wav", wav(data[:10], size=0xFFFFFFF0), ""
    yield "claims_1_gb.wav", wav(data[:10], size=1 << 30), ""
    yield "claims_nothing.wav", wav(data, size=0), ""
    yield "unknown_size.wav", wav(data, size=0xFFFFFFFF), ""
    flac = encoded(noise(2.0), "FLAC")
    yield "unknown_length.flac", flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:], ""
    yield "claims_days.flac", flac[:21] + bytes([flac[21] | 0x0F]) + b"\xff" * 4 + flac[26:], ""
    yield "no_frames.wav", wav(b""), "holds no samples"
    yield "no_frames.flac", flac[:42], "no samples | decoded "
    yield "no_channels.wav", wav(data, channels=0), "cannot be decoded as audio"
    yield "no_rate.wav", wav(data, rate=0), "cannot be decoded as audio | sampling_rate"
    yield "unknown_coding.wav", wav(data, form=0x1234), "cannot be decoded as audio"
    yield "no_bits.wav", wav(data, bits=0), "cannot be decoded as audio"


def _absurd() -> Iterator[tuple[str, bytes, str]]:
    data = (noise() * 32767).astype("<i2").tobytes()
    for rate in (1, 99, 1_000_001, 10_000_000, 2_000_000_000):
        yield (
            f"{rate}_hz.wav",
            wav(data, rate=rate),
            f"sampling_rate is {rate}; it must be a number from 100 to 1,000,000 Hz",
        )
    yield "100_hz.wav", wav(data[:3200], rate=100), ""
    yield "1_mhz.wav", wav(data, rate=1_000_000), ""
    for channels in (65, 255, 1024):
        content = wav(data[: len(data) // channels // 2 * channels * 2], channels=channels)
        yield f"{channels}_channels.wav", content, f"has {channels} channels"
    yield "8_channels_1_mhz.wav", wav(data, rate=1_000_000, channels=8), "has 8 channels of 1,000,000 Hz"
    yield "64_channels.wav", wav(data, channels=64), ""
    for samples in (1, 2, 3):
        yield f"{samples}_samples.wav", encoded(noise()[:samples]), ""
    for name, value in (("nan", np.nan), ("inf", np.inf), ("minus_inf", -np.inf)):
        yield f"{name}.wav", encoded(np.full(RATE, value, np.float32), "WAV", "FLOAT"), "nothing but NaN or infinite"
        one = noise()
        one[RATE // 2] = value
        yield f"one_{name}.wav", encoded(one, "WAV", "FLOAT"), ""
    for level in (1e16, 1e20, 3.4e38):
        loud = encoded(noise() / np.float32(0.6) * np.float32(level), "WAV", "FLOAT")
        yield f"level_{level:g}.wav", loud, "holds samples beyond 1e+15"
    yield "level_1e14.wav", encoded(noise() * np.float32(1e14), "WAV", "FLOAT"), ""
    yield "huge_double.wav", encoded(noise().astype(np.float64) * 1e300, "WAV", "DOUBLE"), "beyond | infinite"
    stereo = np.concatenate([noise(), -noise()], axis=1)
    yield "opposite_signs.wav", encoded(stereo, "WAV", "FLOAT"), ""
    stereo[:, 1] = np.nan
    yield "channel_of_nan.wav", encoded(stereo, "WAV", "FLOAT"), ""


def _silent() -> Iterator[tuple[str, bytes]]:
    yield "silence.wav", encoded(0 * noise())
    yield "silence.flac", encoded(0 * noise(), "FLAC")
    yield "denormal.wav", encoded(np.full(RATE, 1e-40, np.float32), "WAV", "FLOAT")


def _subtypes() -> Iterator[tuple[str, bytes]]:
    """Every format and subtype that libsndfile writes; a few take only some rates, or none that it reads again."""
    # Sound Designer II keeps its header in a second file, in the working folder where the first has no name.
    for form in sorted(set(soundfile.available_formats()) - {"SD2"}):
        for subtype in soundfile.available_subtypes(form):
            for rate in (RATE, 8_000):
                try:
                    content = encoded(noise(0.5)[:, 0], form, subtype, rate)
                    soundfile.read(io.BytesIO(content))
                except (soundfile.SoundFileError, TypeError, ValueError):
                    continue
                yield f"{form}_{subtype}.{form.lower()}", content
                break


def _no_files() -> Iterator[tuple[str, Callable[[Path], None], str]]:
    yield "folder.wav", Path.mkdir, "is a folder | holds no sound files"
    yield "pipe.wav", os.mkfifo, "is a pipe into which nothing is written"
    yield "circle.wav", lambda file: file.symlink_to(file), "which does not exist"
    yield "dangling.wav", lambda file: file.symlink_to("nowhere"), "is a link to nowhere, which does not exist"
    yield "endless.wav", lambda file: file.symlink_to("/dev/zero"), "nothing but zeros"
    yield "nothing.wav", lambda file: file.symlink_to(os.devnull), "is empty (0 bytes)"
    yield "absent.wav", lambda file: None, "does not exist"


def _names(folder: Path) -> dict[str, BadSound]:
    names = {
        "name of 250 bytes": b"x" * 246 + b".wav",
        "name of no text": b"caf\xe9\xff.wav",
        "name with a line break": b"two\nlines.wav",
        "name that clears the screen": b"\x1b[2J\x07.wav",
        "name that turns the writing": "\u202evaw.wav".encode(),
        "name that is an option": b"--json",
        "name of a pattern": b"[a-z]*?.wav",
    }
    content = encoded(noise())
    for name in names.values():
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(content)
    return {case: BadSound(folder / os.fsdecode(name)) for case, name in names.items()}
