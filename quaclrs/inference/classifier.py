"""Classifier of sounds, the same for both backends: PyTorch (`pytorch.py`) and ONNX Runtime (`onnx.py`).

Nothing here imports torch or transformers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..audio import AudioError
from ..errors import QuaclrsError
from ..models.waveforms import Channel
from .batches import batches
from .hearing import Heard, Prediction, Tally, refuse_non_finite, refuse_ranking
from .timeline import Segment, label_windows
from .windows import MARGIN, Crop, Window, file_or_recording, middle_of, read_windows, several_sounds, windows_of

if TYPE_CHECKING:
    from ..models import LogMelConfig


class AudioClassifier(ABC):
    """Labels sounds; make one with `quaclrs.load_classifier`.

    A sound is a path, the bytes of a file, an open binary file, a `Recording`, a waveform (samples,) or (channels,
    samples). `quaclrs.audio.unpack_sound` takes more: (rate, samples) as of Gradio, a row with `array` and
    `sampling_rate`, a decoder of torchcodec. Channels are mixed to their mean; other rates are resampled.

    A sound longer than the model's window is heard window by window; the last window ends with the sound. Its scores
    are the mean over the windows. A shorter sound is filled up by the front end's `pad_mode`. Windows below the front
    end's `silence_dbfs` are left out; where all are, the label is `silence`.

    Args:
        labels: class names in the order of the logits.
        log_mel: the front end's parameters.
        false_alarms: alarms an hour -> `threshold` and `recall`, as `QuaclrsConfig` has them.
    """

    def __init__(
        self,
        labels: Sequence[str],
        log_mel: LogMelConfig,
        false_alarms: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self.labels = list(labels)
        self.log_mel_config = log_mel
        self.false_alarms = dict(false_alarms or {})

    @property
    def sampling_rate(self) -> int:
        """Rate that the network hears, in Hz."""
        return self.log_mel_config.sampling_rate

    @property
    def longest_read(self) -> float:
        """Seconds that are enough of a longer file: the window in its middle, and what resampling needs beside it."""
        return self.log_mel_config.duration + MARGIN

    def score_at(self, false_alarms: int) -> float:
        """Find the `min_score` at which background gave this many false alarms an hour.

        Raises:
            QuaclrsError: the model has no threshold for that number.
        """
        if str(false_alarms) not in self.false_alarms:
            known = ", ".join(self.false_alarms) or "none"
            raise QuaclrsError(
                f"the model has no threshold for {false_alarms} false alarms an hour (known: {known}); give --min-score"
            )
        return self.false_alarms[str(false_alarms)]["threshold"]

    def classify(self, waveforms: np.ndarray) -> np.ndarray:
        """Class probabilities (clips, classes) of float32 waveforms (clips, samples) of the model's rate and length.

        Raises:
            QuaclrsError: scores that are NaN or infinite.
        """
        scores = self._scores_of(waveforms)
        refuse_non_finite(scores)
        return scores

    @abstractmethod
    def _scores_of(self, waveforms: np.ndarray) -> np.ndarray:
        """Class probabilities as `classify` gives them, not yet checked."""

    def embed(
        self,
        sounds: Any,
        sampling_rate: int | None = None,
        batch_size: int = 8,
        channel: Channel | None = None,
    ) -> np.ndarray:
        """The network's pooled features, before its classifier: what similar sounds have in common.

        Args:
            sounds: one sound, a list of them, or a folder, as `predict` takes them; longer ones are heard in their
                middle.
            sampling_rate, batch_size, channel: as for `predict`.

        Returns:
            float32 (hidden_size,) for one sound, (sounds, hidden_size) for several.

        Raises:
            QuaclrsError: as `predict`, or features that are NaN or infinite, or the model is an export, which has none.
        """
        several = several_sounds(sounds)
        if several == []:
            raise QuaclrsError("no sound to embed; give one or more")
        embeddings = np.concatenate(
            [
                self.embed_waveforms(self.prepare(batch, sampling_rate, channel))
                for batch in batches([sounds] if several is None else several, batch_size)
            ]
        )
        return embeddings[0] if several is None else embeddings

    def embed_waveforms(self, waveforms: np.ndarray) -> np.ndarray:
        """Embeddings (clips, hidden_size), float32, of waveforms as `classify` takes them; errors as of `embed`."""
        embeddings = self._embeddings_of(waveforms)
        refuse_non_finite(embeddings)
        return embeddings

    def _embeddings_of(self, waveforms: np.ndarray) -> np.ndarray:
        """Embeddings as `embed_waveforms` gives them, not yet checked; a `QuaclrsError` where there are none."""
        raise QuaclrsError("this classifier gives no embeddings; give a model's folder in place of an export")

    def predict(
        self,
        sound: Any,
        sampling_rate: int | None = None,
        top_k: int | None = None,
        batch_size: int = 8,
        min_score: float = 0.0,
        channel: Channel | None = None,
        crop: Crop = "whole",
        group_sirens: bool = False,
    ) -> Prediction | list[Prediction]:
        """Classify one sound, a list of them, or every sound file below a folder.

        Args:
            sound: a sound as above; a list of those; or a folder, whose files are taken in the order of
                `quaclrs.audio.find_audio_files`.
            sampling_rate: of waveforms, in Hz; the model's own where absent. Files know theirs.
            top_k: how many classes to return, all where absent.
            batch_size: windows that go through the model at once.
            min_score: below it the first answer is `{"label": "unsure", "score": the best class's}`.
            channel: which channel is heard: 1 for the first, `left`, `right` or `mean`. Where absent it is their mean,
                or the louder one of channels that cancel in it.
            crop: `centre` hears the window in the middle of a longer sound in place of all of it.
            group_sirens: where a siren is heard and no vehicle stands out, `{"label": "siren", "score": their sum}`
                comes first (see `siren_score`).

        Returns:
            `{"label", "score"}` dictionaries, best first, scores in [0, 1]; of a silent sound `silence` alone, with the
            score 1. A list of such lists for several sounds.

        Raises:
            QuaclrsError: a sound that cannot be decoded or holds no usable samples; a folder without sound files.
        """
        several = several_sounds(sound)
        sounds = [sound] if several is None else several
        predictions = self.predict_many(
            sounds, sampling_rate, top_k, batch_size, min_score, channel, crop, group_sirens
        )
        return next(predictions) if several is None else list(predictions)

    def predict_many(
        self,
        sounds: Iterable[Any],
        sampling_rate: int | None = None,
        top_k: int | None = None,
        batch_size: int = 8,
        min_score: float = 0.0,
        channel: Channel | None = None,
        crop: Crop = "whole",
        group_sirens: bool = False,
    ) -> Iterator[Prediction]:
        """Predictions one by one as `predict` makes them, holding two batches in memory however much sound there is."""
        refuse_ranking(top_k, min_score)
        for heard in self.hear(sounds, sampling_rate, batch_size, channel, crop):
            yield heard.ranking(top_k, min_score, group_sirens)

    def hear(
        self,
        sounds: Iterable[Any],
        sampling_rate: int | None = None,
        batch_size: int = 8,
        channel: Channel | None = None,
        crop: Crop = "whole",
        names: Sequence[str] | None = None,
        on_error: Callable[[int, AudioError], None] | None = None,
    ) -> Iterator[Heard]:
        """Scores of sounds one by one, and how many seconds of each they are of; batches hold windows of any sounds.

        Args:
            sounds: each as `predict` takes it.
            sampling_rate, batch_size, channel, crop: as of `predict`.
            names: what to call files in a message; their paths where absent.
            on_error: takes the place of a sound that cannot be decoded, from 0, and the reason; the sound is passed
                over. Without it the error is raised.

        Raises:
            QuaclrsError: as `predict`.
        """

        def windows() -> Iterator[tuple[int, Window]]:
            for place, sound in enumerate(sounds):
                name = None if names is None else names[place]
                try:
                    for window in windows_of(sound, self.log_mel_config, sampling_rate, channel, crop, name):
                        yield place, window
                except AudioError as error:
                    if on_error is None:
                        raise
                    on_error(place, error)

        tally = self.tally()
        for batch in batches(windows(), batch_size):
            yield from tally(batch)

    def probabilities(
        self,
        sounds: Sequence[Any],
        sampling_rate: int | None = None,
        channel: Channel | None = None,
        crop: Crop = "whole",
    ) -> np.ndarray:
        """Class probabilities of sounds, each as `predict` takes it; short ones go through the model at once.

        Returns:
            (sounds, classes), float64, columns in the order of `labels`; of a silent sound all alike.

        Raises:
            QuaclrsError: no sound, or one that cannot be decoded or holds no usable samples.
        """
        _refuse_none(sounds)
        found = self.hear(sounds, sampling_rate, max(8, len(sounds)), channel, crop)
        return np.stack([heard.probabilities for heard in found])

    def prepare(
        self, sounds: Sequence[Any], sampling_rate: int | None = None, channel: Channel | None = None
    ) -> np.ndarray:
        """The middle of sounds as the network hears it: waveforms (sounds, samples); errors as above."""
        _refuse_none(sounds)
        windows = [middle_of(sound, self.log_mel_config, sampling_rate, channel) for sound in sounds]
        return np.stack([self.log_mel_config.fit(window.heard) for window in windows])

    def tally(self) -> Tally:
        """Sums up windows by this model's scores."""
        return Tally(self.score, self.labels, self.log_mel_config.silent_peak)

    def score(self, windows: Sequence[Window]) -> np.ndarray:
        """Class probabilities (windows, classes) of windows at most as long as the model's; errors as of `classify`."""
        return self.classify(np.stack([self.log_mel_config.fit(window.heard) for window in windows]))

    def predict_timeline(
        self,
        sound: Any,
        window: float | None = None,
        hop: float = 1.0,
        min_score: float = 0.0,
        batch_size: int = 8,
        name: str | None = None,
        channel: Channel | None = None,
        sampling_rate: int | None = None,
        group_sirens: bool = False,
    ) -> list[Segment]:
        """Label a sound of any length over time: windows are read and classified one batch after the other.

        The scores of a moment are the mean over all windows that hold it; neighbouring moments of one label make a
        segment. Moments below the front end's `silence_dbfs` are `silence`.

        Args:
            sound: as of `predict`.
            window: seconds that are classified at once, at most the model's duration, which it is where absent.
            hop: seconds from one window to the next, and the resolution of the segments.
            min_score: moments in which no class reaches it are `unsure`.
            batch_size: windows that go through the model at once.
            name: what to call a file in a message; its path where absent.
            channel, sampling_rate, group_sirens: as of `predict`.

        Raises:
            QuaclrsError: the sound cannot be decoded; window, hop or min_score is out of range.
        """
        longest = self.log_mel_config.duration
        window = longest if window is None else window
        if window > longest:
            raise QuaclrsError(f"window is {window:g} s, but the model hears {longest:g} s at once; give at most that")
        opened = file_or_recording(sound, self.log_mel_config, sampling_rate)
        windows = read_windows(opened, self.sampling_rate, window, hop, name, channel)
        scored = (pair for batch in batches(windows, batch_size) for pair in zip(batch, self.score(batch), strict=True))
        return label_windows(scored, self.labels, hop, min_score, self.log_mel_config.silent_peak, group_sirens)


def _refuse_none(sounds: Sequence[Any]) -> None:
    if len(sounds) == 0:
        raise QuaclrsError("no sound to classify; give one or more")
