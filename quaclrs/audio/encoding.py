"""Waveforms as bytes: 16-bit FLAC for files, 16-bit samples alone for caches."""

from __future__ import annotations

import io

import numpy as np
import soundfile


def encode_flac(waveform: np.ndarray, sampling_rate: int) -> bytes:
    """Encode a mono waveform (samples,) as 16-bit FLAC; one that exceeds full scale is scaled down, never clipped."""
    peak = float(np.abs(waveform).max())
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform / max(peak, 1.0), sampling_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def flac_digest(flac: bytes | memoryview) -> bytes:
    """The MD5 digest of its samples that a FLAC file carries (RFC 9639, section 8.2); nothing is decoded.

    b"" of a file that carries none, as a FLAC stream that was written on the fly, or is no FLAC.
    """
    digest = bytes(flac[26:42])
    return digest if flac[:4] == b"fLaC" and any(digest) else b""


def encode_pcm(waveform: np.ndarray) -> bytes:
    """A mono waveform (samples,) in [-1, 1] as 16-bit samples without a header; `decode_pcm` reads them."""
    return np.rint(waveform * 32768).clip(-32768, 32767).astype("<i2").tobytes()


def decode_pcm(samples: bytes) -> np.ndarray:
    """Decode the samples that `encode_pcm` wrote: float32 (samples,)."""
    return np.frombuffer(samples, "<i2").astype(np.float32) * np.float32(1 / 32768)
