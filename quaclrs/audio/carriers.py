"""Carriers of sounds: files and their bytes, open files, arrays with a rate, rows and decoders of `datasets`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, BinaryIO

import numpy as np

from ..errors import printable
from .errors import AudioError
from .pipes import ENCODED, searchable

#: A path, the bytes of a file, or an open binary file.
SoundSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO

_WANTED = (
    'give a path, the bytes of a file, an open binary file, an array, (rate, array) or {"array": …, "sampling_rate": …}'
)


def name_of(file: Any) -> str:
    """Name of a sound in a message."""
    if isinstance(file, ENCODED):
        return "the file in memory"
    if hasattr(file, "read"):
        name = getattr(file, "name", None)
        return "standard input" if name == "<stdin>" else printable(name) if isinstance(name, str) else "the open file"
    return printable(os.fspath(file))


def is_encoded(sound: Any) -> bool:
    """True for a `SoundSource`, which has to be decoded."""
    return isinstance(sound, (str, os.PathLike, *ENCODED)) or hasattr(sound, "read")


def is_one_sound(sound: Any) -> bool:
    """True for a list or tuple of a rate and an array, in either order; others are lists of sounds."""
    return _rate_and_array(sound) is not None


def unpack_sound(sound: Any, sampling_rate: float | None = None) -> tuple[Any, float | None]:
    """Take apart what carries a sound.

    Args:
        sound: a `SoundSource`; samples; (rate, samples) as of Gradio, or (samples, rate) as of soundfile; a mapping
            with `array` (or `raw`) and `sampling_rate`, or with `bytes` or `path`, as `datasets` has; a decoder of
            torchcodec (`get_all_samples`) or what it gives (`data`, `sample_rate`).
        sampling_rate: of samples that come without one, in Hz.

    Returns:
        A `SoundSource` that can be searched and None, or samples and their rate.

    Raises:
        AudioError: it is none of these; the message is one line.
    """
    if hasattr(sound, "get_all_samples"):
        sound = sound.get_all_samples()
    if hasattr(sound, "data") and hasattr(sound, "sample_rate"):
        return sound.data, sound.sample_rate
    if isinstance(sound, Mapping):
        return _unpack_mapping(sound)
    if (pair := _rate_and_array(sound)) is not None:
        return pair
    if hasattr(sound, "read"):
        return searchable(sound, name_of(sound)), None
    if is_encoded(sound):
        return sound, None
    if sound is None or callable(sound) or _is_scalar(sound):
        raise AudioError(f"a sound cannot be of type {type(sound).__name__}; {_WANTED}")
    return sound, sampling_rate


def _is_scalar(sound: Any) -> bool:
    try:
        return np.ndim(sound) == 0
    except ValueError:  # lists of other lengths: whoever takes them for channels says what is wrong
        return False


def _unpack_mapping(sound: Mapping[str, Any]) -> tuple[Any, float | None]:
    for name in ("array", "raw"):
        if sound.get(name) is not None and sound.get("sampling_rate") is not None:
            return sound[name], sound["sampling_rate"]
    for name in ("bytes", "path"):
        if sound.get(name) is not None:
            return sound[name], None
    raise AudioError(f"a sound cannot be a mapping with {', '.join(map(str, sound)) or 'nothing'}; {_WANTED}")


def _rate_and_array(sound: Any) -> tuple[Any, float] | None:
    if not isinstance(sound, (list, tuple)) or len(sound) != 2:
        return None
    for rate, samples in (sound, sound[::-1]):
        whole = isinstance(rate, (Integral, Real)) and not isinstance(rate, bool)
        if whole and not is_encoded(samples) and hasattr(samples, "shape") and len(samples.shape) in (1, 2):
            return samples, float(rate) if not isinstance(rate, Integral) else int(rate)
    return None
