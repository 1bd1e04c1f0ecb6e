"""Anything audible to float32 mono: decoding by libsndfile and resampling by soxr, never FFmpeg or torchcodec."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from .errors import QuaclrsError

#: Endings that libsndfile reads; a folder is searched for these.
AUDIO_ENDINGS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64")


#: A file, or the bytes of one.
ENCODED = (bytes, bytearray, memoryview)
SoundSource = str | os.PathLike[str] | bytes | bytearray | memoryview

#: Frames that are read at a time, and more than any real file has.
_BLOCK, _MOST_FRAMES = 1 << 20, 1 << 48


class AudioError(QuaclrsError):
    """A file that is missing, no audio, empty, or holds NaN; the message names it."""


@dataclass(frozen=True)
class Recording:
    """Decoded audio: `waveform` float32 (channels, samples) in about [-1, 1], at `sampling_rate` Hz."""

    waveform: np.ndarray
    sampling_rate: int

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.waveform.shape[1] / self.sampling_rate

    def mono(self, sampling_rate: int) -> np.ndarray:
        """The mean of the channels, resampled to `sampling_rate` Hz: float32 (samples,), at least one sample."""
        waveform = self.waveform.mean(axis=0, dtype=np.float32)
        if sampling_rate == self.sampling_rate:
            return waveform
        resampled = soxr.resample(waveform, self.sampling_rate, sampling_rate)
        return resampled if resampled.size else waveform[:1]


def read_recording(file: SoundSource, name: str | None = None, longest: float = math.inf) -> Recording:
    """Decode a file, or the bytes of one, at its own rate and channel count.

    Args:
        file: a path, or the encoded bytes.
        name: what to call it in an error; the path where absent.
        longest: of a longer file only this many seconds are decoded, those in its middle.

    Raises:
        AudioError: the file is missing, empty, cannot be decoded, or holds NaN or infinite samples.
    """
    name = name or name_of(file)
    with open_sound(file, name) as sound:
        samples = _read_middle(sound, name, sound.frames, longest) if sound.seekable() else None
    if samples is None or len(samples) == 0:  # or less is there than the header promised
        with open_sound(file, name) as sound:
            frames = sum(len(block) for block in read_blocks(sound, name, _BLOCK))
        with open_sound(file, name) as sound:
            samples = _read_middle(sound, name, frames, longest)
    if len(samples) == 0:
        raise AudioError(f"{name} holds no samples; replace or remove it")
    return Recording(samples.T, sound.samplerate)


def read_blocks(sound: soundfile.SoundFile, name: str, size: int) -> Iterator[np.ndarray]:
    """Read the rest of an opened file piece by piece: float32 (frames, channels) of `size` frames, the last shorter.

    Raises:
        AudioError: the file is damaged, or holds NaN or infinite samples; `name` is what it calls it.
    """
    while True:
        with _one_line_errors(name):
            block = sound.read(size, dtype="float32", always_2d=True)
        if len(block) == 0:
            return
        if not np.isfinite(block).all():
            raise AudioError(f"{name} holds NaN or infinite samples; repair or remove it")
        yield block


def _read_middle(sound: soundfile.SoundFile, name: str, frames: int, longest: float) -> np.ndarray:
    """The middle `longest` seconds of `frames`, float32 (frames, channels)."""
    surplus = max(0, frames - math.ceil(min(longest * sound.samplerate, frames)))
    # As many frames go on both sides, so that the middle stays where it is.
    first, last = surplus // 2, frames - surplus // 2
    begin = 0
    if first and sound.seekable():
        with _one_line_errors(name):
            sound.seek(first)
        begin = first
    kept = []
    for block in read_blocks(sound, name, min(_BLOCK, max(1, last - begin))):
        kept.append(block[max(0, first - begin) : max(0, last - begin)])
        begin += len(block)
        if begin >= last:
            break
    return np.concatenate(kept) if kept else np.zeros((0, sound.channels), dtype=np.float32)


@contextmanager
def open_sound(file: SoundSource, name: str | None = None) -> Iterator[soundfile.SoundFile]:
    """A file, or the bytes of one, opened for reading piece by piece; errors as for `read_recording`."""
    name = name or name_of(file)
    if not isinstance(file, ENCODED):
        if Path(file).is_dir():
            raise AudioError(f"{name} is a folder; give a sound file")
        if not Path(file).is_file():
            raise AudioError(f"{name} does not exist; check the path")
        if Path(file).stat().st_size == 0:
            raise AudioError(f"{name} is empty (0 bytes); replace or remove it")
    with _one_line_errors(name):
        sound = soundfile.SoundFile(io.BytesIO(file) if isinstance(file, ENCODED) else os.fspath(file))
    with sound:
        if sound.frames > _MOST_FRAMES:  # libsndfile cannot read such a FLAC file to its end
            raise AudioError(
                f"{name} does not say how long it is, as what is written to a pipe may not; encode it again"
            )
        yield sound


@contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:  # TypeError: headerless audio (.raw)
        # libsndfile's own words, without the path that it was given: `name` says what the user calls the file.
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        raise AudioError(f"{name} cannot be decoded as audio ({reason}); convert it to WAV or FLAC") from error


def name_of(file: SoundSource) -> str:
    """Name of a sound in an error message."""
    return "the audio bytes" if isinstance(file, ENCODED) else os.fspath(file)


def load_audio(file: SoundSource, sampling_rate: int, name: str | None = None) -> np.ndarray:
    """Decode, mix to mono and resample: float32 (samples,) at `sampling_rate` Hz, at the recording's true length."""
    return read_recording(file, name).mono(sampling_rate)


def encode_flac(waveform: np.ndarray, sampling_rate: int) -> bytes:
    """Encode a mono waveform (samples,) as 16-bit FLAC; one that exceeds full scale is scaled down, never clipped."""
    peak = float(np.abs(waveform).max())
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform / max(peak, 1.0), sampling_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def encode_pcm(waveform: np.ndarray) -> bytes:
    """A mono waveform (samples,) in [-1, 1] as 16-bit samples without a header; `decode_pcm` reads them."""
    return np.rint(waveform * 32768).clip(-32768, 32767).astype("<i2").tobytes()


def decode_pcm(samples: bytes) -> np.ndarray:
    """Decode the samples that `encode_pcm` wrote: float32 (samples,)."""
    return np.frombuffer(samples, "<i2").astype(np.float32) * np.float32(1 / 32768)


def find_audio_files(folder: str | Path) -> list[Path]:
    """Every sound file below a folder, by its ending, sorted by path."""
    return sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in AUDIO_ENDINGS and p.is_file())
