"""Standard input as blocks of mono samples: WAV as `ffmpeg -f wav -` and `arecord` write it, or raw PCM."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ..audio import Mixer
from ..errors import QuaclrsError
from ..models.waveforms import Channel, channel_number

#: Formats of raw samples, little-endian: name -> bytes of a sample.
SAMPLE_FORMATS = {"u8": 1, "s16": 2, "s24": 3, "s32": 4, "f32": 4, "f64": 8}

#: Format tags of WAV: PCM, floating point, and the one that says it in a longer header.
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE

#: First bytes of sounds that are neither WAV nor raw samples; as samples they would be noise.
_COMPRESSED = {b"OggS": "Ogg", b"fLaC": "FLAC", b"ID3\2": "MP3", b"ID3\3": "MP3", b"ID3\4": "MP3", b"caff": "CAF"}
_COMPRESSED |= {b"FORM": "AIFF", b"RF64": "RF64", b"\x1a\x45\xdf\xa3": "WebM or Matroska"}

#: Bytes of a chunk before the samples, at most, and chunks.
_LONGEST_CHUNK, _MOST_CHUNKS = 1 << 20, 64

#: Seconds of a block.
BLOCK_SECONDS = 0.1


@dataclass(frozen=True)
class StreamFormat:
    """Samples of a stream: one of `SAMPLE_FORMATS`, Hz, and channels side by side."""

    samples: str = "s16"
    sampling_rate: int = 48_000
    channels: int = 1


class PcmStream:
    """A stream of samples that is read once, from front to back.

    Args:
        stream: of bytes; a WAV is known by its beginning.
        raw: format of anything else.
        channel: which is heard, as of `Mixer`.

    Raises:
        QuaclrsError: an empty stream, a WAV whose header is damaged or whose samples are compressed, another kind of
            sound file, or a channel that it lacks.
    """

    def __init__(self, stream: BinaryIO, raw: StreamFormat | None = None, channel: Channel | None = None) -> None:
        self._stream = stream
        head = _read(stream, 4)
        if not head:
            raise QuaclrsError("standard input is empty; send WAV or raw PCM")
        if kind := _COMPRESSED.get(head):
            raise QuaclrsError(f"standard input is {kind}; send WAV or raw PCM (ffmpeg -i FILE -f wav -)")
        if head == b"RIFF":
            self.format, self._begun = _wav_format(stream), b""
        else:
            self.format, self._begun = raw or StreamFormat(), head
        try:
            channel_number(channel, self.format.channels)
        except ValueError as error:
            raise QuaclrsError(str(error)) from error
        self._mix = Mixer(self.sampling_rate, channel, "standard input")

    @property
    def sampling_rate(self) -> int:
        """Hz."""
        return self.format.sampling_rate

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield blocks of float32 (samples,) until the stream ends."""
        frame = SAMPLE_FORMATS[self.format.samples] * self.format.channels
        size = max(1, round(BLOCK_SECONDS * self.sampling_rate)) * frame
        rest = self._begun
        around = np.zeros((self.format.channels, 0), dtype=np.float32)
        while True:
            content = _read(self._stream, size - len(rest))
            whole = (len(rest) + len(content)) // frame * frame
            block, rest = (rest + content)[:whole], (rest + content)[whole:]
            if block:
                channels = to_float(block, self.format.samples).reshape(-1, self.format.channels).T
                around = np.concatenate([around, channels], axis=1)[:, -self.sampling_rate :]
                yield self._mix(channels, around)
            if not content:
                return


def to_float(content: bytes, samples: str) -> np.ndarray:
    """Samples of one of `SAMPLE_FORMATS` as float32 in [-1, 1]."""
    if samples == "s24":
        padded = np.zeros((len(content) // 3, 4), dtype=np.uint8)
        padded[:, 1:] = np.frombuffer(content, dtype=np.uint8).reshape(-1, 3)
        return padded.view("<i4")[:, 0].astype(np.float32) / np.float32(1 << 31)
    if samples == "u8":
        return (np.frombuffer(content, dtype=np.uint8).astype(np.float32) - 128) / 128
    values = np.frombuffer(content, dtype={"s16": "<i2", "s32": "<i4", "f32": "<f4", "f64": "<f8"}[samples])
    if samples[0] == "f":
        return values.astype(np.float32)
    return values.astype(np.float32) / np.float32(1 << (8 * values.itemsize - 1))


def _read(stream: BinaryIO, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end."""
    pieces: list[bytes] = []
    while size > 0 and (piece := stream.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _wav_format(stream: BinaryIO) -> StreamFormat:
    """Read the header behind `RIFF`, up to the first sample; its sizes may be unknown."""
    found: StreamFormat | None = None
    if _read(stream, 8)[4:] != b"WAVE":
        raise QuaclrsError("standard input begins as RIFF, but is not WAV; send WAV or raw PCM")
    for _ in range(_MOST_CHUNKS):
        header = _read(stream, 8)
        if len(header) < 8:
            break
        name, size = struct.unpack("<4sI", header)
        if name == b"data" and found is not None:
            return found
        if size > _LONGEST_CHUNK:
            break
        content = _read(stream, size + size % 2)
        if name == b"fmt " and len(content) >= 16:
            tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", content[:16])
            if tag == _EXTENSIBLE and len(content) >= 26:
                (tag,) = struct.unpack("<H", content[24:26])
            kind = {_PCM: "u" if bits == 8 else "s", _FLOAT: "f"}.get(tag, "?") + str(bits)
            if kind not in SAMPLE_FORMATS or not channels or not rate:
                raise QuaclrsError("standard input is WAV of a kind that is not read; send 16-bit PCM (-c:a pcm_s16le)")
            found = StreamFormat(kind, rate, channels)
    raise QuaclrsError("standard input is WAV with a damaged header; send it anew, or as raw PCM")
