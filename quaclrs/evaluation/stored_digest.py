"""Digest by which a sound is known again under another name, or as FLAC in place of WAV."""

from __future__ import annotations

from ..audio import AudioError, SoundSource, encode_flac, flac_digest, load_audio, open_sound
from ..data import STORED_SAMPLING_RATE


def stored_digest(file: SoundSource, name: str | None = None, longest: float | None = None) -> bytes:
    """`flac_digest` of a sound as the builder would store it; b"" of a broken one, or one that is too long.

    It may warn of damage. Filters of warnings are the whole process's, so threads that call this must share theirs.

    Args:
        file, name: as of `load_audio`.
        longest: seconds, above which it is not decoded.
    """
    try:
        if longest is not None:
            with open_sound(file, name) as sound:
                if not sound.frames or sound.frames > longest * sound.sampling_rate:
                    return b""
        return flac_digest(encode_flac(load_audio(file, STORED_SAMPLING_RATE, name), STORED_SAMPLING_RATE))
    except AudioError:
        return b""
