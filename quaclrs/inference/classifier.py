"""Sounds in, labels out, whatever runs the network: PyTorch (`pytorch.py`) or ONNX Runtime (`onnx.py`).

Nothing here imports torch or transformers.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..audio import Recording, find_audio_files, is_encoded, is_one_sound, read_mono, unpack_sound
from ..errors import QuaclrsError
from ..models.waveforms import Channel, mono_at
from .timeline import SILENCE, UNSURE, Segment, Window, label_windows, read_windows

if TYPE_CHECKING:
    from ..models import LogMelConfig

Prediction = list[dict[str, Any]]

#: Seconds that are decoded beside the window of a longer file, so that resampling has its neighbourhood.
_MARGIN = 1.0


class AudioClassifier(ABC):
    """Labels sounds; make one with `quaclrs.load_classifier`.

    A sound is a path, the bytes of a file, an open binary file, a `Recording`, a waveform (samples,) or (channels,
    samples), or what else `quaclrs.audio.unpack_sound` takes: (rate, samples) as of Gradio, a row with `array` and
    `sampling_rate`, a decoder of torchcodec. Channels are mixed to their mean, other rates resampled, longer sounds cut
    from the centre, and shorter ones filled up by the front end's `pad_mode`. Of a sound below the front end's
    `silence_dbfs` the label is `silence`.

    Args:
        labels: class names in the order of the logits.
        log_mel: the front end's parameters.
    """

    def __init__(self, labels: Sequence[str], log_mel: LogMelConfig) -> None:
        self.labels = list(labels)
        self.log_mel_config = log_mel

    @property
    def sampling_rate(self) -> int:
        """Rate that the network hears, in Hz."""
        return self.log_mel_config.sampling_rate

    @property
    def longest_read(self) -> float:
        """Seconds that are enough of a longer file: the window in its middle, and what resampling needs beside it."""
        return self.log_mel_config.duration + _MARGIN

    def classify(self, waveforms: np.ndarray) -> np.ndarray:
        """Class probabilities (clips, classes) of float32 waveforms (clips, samples) of the model's rate and length.

        Raises:
            QuaclrsError: scores that are no numbers.
        """
        scores = self._scores_of(waveforms)
        refuse_non_finite(scores)
        return scores

    @abstractmethod
    def _scores_of(self, waveforms: np.ndarray) -> np.ndarray:
        """Class probabilities as `classify` gives them, not yet checked."""

    def predict(
        self,
        sound: Any,
        sampling_rate: int | None = None,
        top_k: int | None = None,
        batch_size: int = 8,
        min_score: float = 0.0,
        channel: Channel | None = None,
    ) -> Prediction | list[Prediction]:
        """Classify one sound, a list of them, or every sound file below a folder.

        Args:
            sound: a sound as above; a list of those; or a folder, whose files are taken in the order of
                `quaclrs.audio.find_audio_files`.
            sampling_rate: of waveforms, in Hz; the model's own where absent. Files know theirs.
            top_k: how many classes to return, all where absent.
            batch_size: sounds that go through the model at once.
            min_score: where no class reaches it, `{"label": "unsure", "score": the best class's}` comes first.
            channel: which channel is heard: 1 for the first, `left`, `right` or `mean`. Where absent it is their mean,
                or the louder one of channels that cancel in it.

        Returns:
            `{"label", "score"}` dictionaries, best first, scores in [0, 1]; of a silent sound `silence` alone, with the
            score 1. A list of such lists for several sounds.

        Raises:
            QuaclrsError: a sound that cannot be decoded or holds no usable samples; a folder without sound files.
        """
        several = several_sounds(sound)
        sounds = [sound] if several is None else several
        predictions = self.predict_many(sounds, sampling_rate, top_k, batch_size, min_score, channel)
        return next(predictions) if several is None else list(predictions)

    def predict_many(
        self,
        sounds: Iterable[Any],
        sampling_rate: int | None = None,
        top_k: int | None = None,
        batch_size: int = 8,
        min_score: float = 0.0,
        channel: Channel | None = None,
    ) -> Iterator[Prediction]:
        """Predictions one by one as `predict` makes them, holding one batch in memory however many sounds there are."""
        if top_k is not None and top_k < 1:
            raise QuaclrsError(f"top-k is {top_k}; it must be 1 or more")
        if not 0 <= min_score <= 1:
            raise QuaclrsError(f"min_score is {min_score}; it must be from 0 to 1")
        for batch in batches(sounds, batch_size):
            waveforms = self.prepare(batch, sampling_rate, channel)
            silent = self.log_mel_config.is_silent(waveforms)
            for scores, nothing_heard in zip(self.classify(waveforms), silent, strict=True):
                if nothing_heard:
                    yield [{"label": SILENCE, "score": 1.0}]
                    continue
                best = np.argsort(-scores, kind="stable")[:top_k]
                ranking = [{"label": self.labels[i], "score": float(scores[i])} for i in best]
                unsure = [{"label": UNSURE, "score": ranking[0]["score"]}] if ranking[0]["score"] < min_score else []
                yield unsure + ranking

    def probabilities(
        self, sounds: Sequence[Any], sampling_rate: int | None = None, channel: Channel | None = None
    ) -> np.ndarray:
        """Class probabilities of sounds that go through the model at once, each as `predict` takes it.

        Returns:
            (sounds, classes), float64, columns in the order of `labels`; of a silent sound all alike.

        Raises:
            QuaclrsError: no sound, or one that cannot be decoded or holds no usable samples.
        """
        return self.classify(self.prepare(sounds, sampling_rate, channel))

    def prepare(
        self, sounds: Sequence[Any], sampling_rate: int | None = None, channel: Channel | None = None
    ) -> np.ndarray:
        """Sounds as the network hears them: waveforms (sounds, samples) of its rate and length; errors as above."""
        if len(sounds) == 0:
            raise QuaclrsError("there is no sound to classify; give one or more")
        return np.stack([self.log_mel_config.fit(self._waveform_of(sound, sampling_rate, channel)) for sound in sounds])

    def predict_timeline(
        self,
        file: Any,
        window: float | None = None,
        hop: float = 1.0,
        min_score: float = 0.0,
        batch_size: int = 8,
        name: str | None = None,
        channel: Channel | None = None,
    ) -> list[Segment]:
        """Label a file of any length over time: windows are read and classified one batch after the other.

        The scores of a moment are the mean over all windows that hold it; neighbouring moments of one label make a
        segment. Moments below the front end's `silence_dbfs` are `silence`.

        Args:
            file: a sound file, the bytes of one, or an open binary file.
            window: seconds that are classified at once, at most the model's duration, which it is where absent.
            hop: seconds from one window to the next, and the resolution of the segments.
            min_score: moments in which no class reaches it are `unsure`.
            batch_size: windows that go through the model at once.
            name: what to call the file in a message; its path where absent.
            channel: which is heard, as of `predict`.

        Raises:
            QuaclrsError: the file cannot be decoded; window, hop or min_score is out of range.
        """
        longest = self.log_mel_config.duration
        window = longest if window is None else window
        if window > longest:
            raise QuaclrsError(f"window is {window:g} s, but the model hears {longest:g} s at once; give at most that")
        file, _ = unpack_sound(file)
        if not is_encoded(file):
            raise QuaclrsError("a timeline is made of a file, its bytes or an open file; give one of these")
        windows = read_windows(file, self.sampling_rate, window, hop, name, channel)
        return label_windows(
            self._scored(windows, batch_size), self.labels, hop, min_score, self.log_mel_config.silent_peak
        )

    def _scored(self, windows: Iterable[Window], batch_size: int) -> Iterator[tuple[Window, np.ndarray]]:
        for batch in batches(windows, batch_size):
            fitted = np.stack([self.log_mel_config.fit(window.waveform) for window in batch])
            yield from zip(batch, self.classify(fitted), strict=True)

    def _waveform_of(self, sound: Any, sampling_rate: int | None, channel: Channel | None) -> np.ndarray:
        if not isinstance(sound, Recording):
            sound, rate = unpack_sound(sound, sampling_rate)
            if not is_encoded(sound):
                try:
                    return mono_at(sound, rate, self.sampling_rate, channel)
                except ValueError as error:
                    raise QuaclrsError(str(error)) from error
            return read_mono(sound, None, self.longest_read, channel).mono(self.sampling_rate)
        return sound.mono(self.sampling_rate, channel)


def refuse_non_finite(scores: np.ndarray) -> None:
    """Raise a `QuaclrsError` where a score is NaN or infinite: no answer is better."""
    if not np.isfinite(scores).all():
        raise QuaclrsError("the model gives scores that are no numbers: its weights are damaged; give another --model")


def several_sounds(sound: Any) -> list[Any] | None:
    """The sounds of a list, or the sound files below a folder; None where it is one sound.

    Raises:
        QuaclrsError: the folder holds no sound files.
    """
    if isinstance(sound, (str, os.PathLike)) and os.path.isdir(sound):  # never raises, whatever the name
        if files := find_audio_files(Path(sound)):
            return [str(file) for file in files]
        raise QuaclrsError(f"{sound} holds no sound files; give a folder with WAV, FLAC, Ogg or MP3 files")
    return list(sound) if isinstance(sound, (list, tuple)) and not is_one_sound(sound) else None


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of `size` items, the last of what is left; a `QuaclrsError` where the size is below 1."""
    if size < 1:
        raise QuaclrsError(f"batch size is {size}; it must be 1 or more")
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch
