"""Analysis of a sound for the Space: checks, labels, pictures, timeline. Nothing here knows of the page."""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from matplotlib.figure import Figure

from quaclrs import QuaclrsError, load_classifier
from quaclrs.audio import Recording, open_sound, read_mono
from quaclrs.evaluation.figures.explanation import explanation_figure
from quaclrs.evaluation.figures.spectrograms import draw_spectrogram
from quaclrs.evaluation.figures.style import BLUE, empty_figure
from quaclrs.evaluation.reports.tables import seconds
from quaclrs.inference.explain import explain
from quaclrs.inference.hearing import Heard
from quaclrs.inference.pytorch import TorchClassifier
from quaclrs.inference.timeline import SILENCE, Segment

#: The model that comes with the package, as the page calls it, and the variable that names others.
OWN_MODEL, MODELS_VARIABLE = "the model in the package", "QUACLRS_MODELS"

LONGEST_SECONDS, MOST_MEGABYTES = 600.0, 50.0

#: Samples over all channels: ten minutes of stereo at 48 kHz.
MOST_SAMPLES = 1 << 26

#: Samples that are all below this are nothing that a microphone heard.
_SILENT_PEAK = 2.0**-14

#: One explanation at a time: each runs a hundred versions of a sound through the network.
_ONE_AT_A_TIME = threading.RLock()


Content = TypeVar("Content")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Panel(Generic[Content]):
    """Content of one part of the page, or None and one line that says why it is empty."""

    content: Content | None
    why_empty: str = ""

    @classmethod
    def of(cls, make: Callable[[], Content]) -> Panel[Content]:
        """The panel that `make` fills. Its failure leaves the other panels alone, so it goes no further."""
        try:
            return cls(make())
        except QuaclrsError as error:
            return cls(None, str(error))
        except Exception:
            _log.exception("a panel failed")
            return cls(None, "this part failed; the others do not depend on it")


@dataclass(frozen=True)
class Moment:
    """A segment of a timeline, and whether the loudest moment of the sound lies in it."""

    segment: Segment
    loudest: bool


@dataclass(frozen=True)
class Page:
    """Results of a sound, each part for itself: the answer, a picture, the explanation, the timeline."""

    heard: Panel[Heard]
    sound: Panel[Figure]
    explanation: Panel[Figure]
    moments: Panel[list[Moment]]


def model_names() -> list[str]:
    """The package's own model, then the repositories or folders that `QUACLRS_MODELS` names, a comma between."""
    return [OWN_MODEL, *(name.strip() for name in os.environ.get(MODELS_VARIABLE, "").split(",") if name.strip())]


@functools.cache
def classifier_of(name: str) -> TorchClassifier:
    """A model of `model_names`, loaded once."""
    if name not in model_names():
        raise QuaclrsError(f"{name[:80]!r} is none of the models here")
    with _ONE_AT_A_TIME:
        return load_classifier(None if name == OWN_MODEL else name, backend="torch")


def check_sound(file: str | None) -> float:
    """Refuse what cannot be listened to.

    Returns:
        The second at which the loudest tenth of a second begins.

    Raises:
        QuaclrsError: no file, one that is too large or too long, no audio, or silence.
    """
    if not file:
        raise QuaclrsError("no sound yet: upload a file or record one")
    name = Path(file).name
    if not os.path.isfile(file):
        raise QuaclrsError(f"{name} is no longer here: upload or record it again")
    if os.path.getsize(file) > MOST_MEGABYTES * 1e6:
        raise QuaclrsError(f"{name} is larger than {MOST_MEGABYTES:g} MB; give a shorter or compressed file")
    with open_sound(file, name) as sound:
        size = max(1, sound.sampling_rate // 10)
        seconds = (sound.frames or 0) / sound.sampling_rate
        peak, powers = 0.0, []
        for block in sound.blocks(size):
            seconds = max(seconds, len(powers) * size / sound.sampling_rate)
            if len(powers) * size * sound.channels > MOST_SAMPLES:
                raise QuaclrsError(f"{name} holds more samples than ten minutes of stereo; give a part of it")
            if seconds > LONGEST_SECONDS:
                raise QuaclrsError(f"{name} lasts {seconds / 60:.0f} minutes; give {LONGEST_SECONDS / 60:g} at most")
            peak = max(peak, float(np.abs(block).max()))
            powers.append(float(np.square(block).mean()))  # of the channels, as their mean may cancel
        if not powers:
            raise QuaclrsError(f"{name} holds no samples; record it or copy it from its source again")
        if not peak > _SILENT_PEAK:
            raise QuaclrsError(f"{name} is silent: nothing can be heard in it")
        return int(np.argmax(powers)) * size / sound.sampling_rate


def read_middle(model: str, file: str) -> Recording:
    """The middle of a file, decoded once for both pictures of it."""
    return read_mono(file, Path(file).name, classifier_of(model).longest_read)


def label_sound(model: str, file: str) -> Heard:
    """Label all of a file."""
    classifier = classifier_of(model)
    with _ONE_AT_A_TIME:
        return next(classifier.hear([file], names=[Path(file).name]))


def draw_sound(model: str, sound: Recording) -> Figure:
    """The waveform of the middle of a sound, as the model hears it, and its log-mel spectrogram."""
    classifier = classifier_of(model)
    window = classifier.log_mel_config
    waveform = classifier.prepare([sound])[0]
    log_mel = classifier.model.quaclrs.log_mel(torch.from_numpy(waveform).to(classifier.device)).cpu().numpy()
    figure = empty_figure(8, 5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
    # Lowest and highest of every few samples: a line through all of them looks the same and takes a second.
    columns = np.array_split(waveform, 1200)
    times = np.linspace(0, window.duration, len(columns))
    above.fill_between(times, [c.min() for c in columns], [c.max() for c in columns], color=BLUE, linewidth=0.4)
    above.set_ylabel("amplitude")
    image = draw_spectrogram(below, log_mel, window.duration, window)
    below.set_ylabel("frequency (Hz)")
    is_middle = sound.full_duration > window.duration
    below.set_xlabel(f"time (s), in the middle of {seconds(sound.full_duration)}" if is_middle else "time (s)")
    figure.colorbar(image, ax=[above, below], label="dB below the loudest cell", aspect=40)
    return figure


def draw_explanation(model: str, sound: Recording, label: str | None) -> Figure:
    """Explain a class, the model's answer where none is given."""
    classifier = classifier_of(model)
    window = classifier.log_mel_config
    with _ONE_AT_A_TIME:
        explanation = explain(classifier, sound, label=label)
    return explanation_figure(explanation, window)


def draw_words(words: str) -> Figure:
    """A line of text in place of a picture."""
    figure = empty_figure(8, 1.5)
    figure.text(0.5, 0.5, words, ha="center", va="center", wrap=True)
    return figure


def list_moments(model: str, file: str, loudest: float) -> list[Moment]:
    """The timeline of a file, the segment that holds its loudest second marked; silence is never the loudest."""
    classifier = classifier_of(model)
    with _ONE_AT_A_TIME:
        segments = classifier.predict_timeline(file, name=Path(file).name)
    marked = [s.start <= loudest < s.end and s.label != SILENCE for s in segments]
    return [Moment(segment, mark) for segment, mark in zip(segments, marked, strict=True)]


def analyse_sound(model: str, file: str | None, label: str | None) -> Page:
    """All parts of the page; `label` is the class to explain, the model's answer where none is given.

    Raises:
        QuaclrsError: as `check_sound`, or the file cannot be decoded, so that no part has anything to show.
    """
    loudest = check_sound(file)
    assert file is not None
    sound = read_middle(model, file)
    return Page(
        heard=Panel.of(lambda: label_sound(model, file)),
        sound=Panel.of(lambda: draw_sound(model, sound)),
        explanation=Panel.of(lambda: draw_explanation(model, sound, label)),
        moments=Panel.of(lambda: list_moments(model, file, loudest)),
    )
