"""What the Space does with a sound: checks, labels, pictures, timeline. Nothing here knows of the page."""

from __future__ import annotations

import functools
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from quaclrs import QuaclrsError, load_classifier
from quaclrs.audio import Recording, open_sound, read_recording
from quaclrs.evaluation.figures.explanation import explanation_figure
from quaclrs.evaluation.figures.spectrograms import draw_spectrogram
from quaclrs.evaluation.figures.style import BLUE, empty_figure
from quaclrs.inference.explain import explain
from quaclrs.inference.pytorch import TorchClassifier
from quaclrs.inference.timeline import SILENCE, Segment

#: The model that comes with the package, as the page calls it, and the variable that names others.
OWN_MODEL, MODELS_VARIABLE = "the model in the package", "QUACLRS_MODELS"

LONGEST_SECONDS, MOST_MEGABYTES = 600.0, 50.0

#: Samples that are all below this are nothing that a microphone heard.
_SILENT_PEAK = 2.0**-14

#: Grad-CAM hooks into the network: whatever else ran through it meanwhile would be taken for the explained sound.
_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True)
class Moment:
    """A segment of a timeline, and whether the loudest moment of the sound lies in it."""

    segment: Segment
    loudest: bool


def model_names() -> list[str]:
    """The package's own model, then the repositories or folders that `QUACLRS_MODELS` names, a comma between."""
    return [OWN_MODEL, *(name.strip() for name in os.environ.get(MODELS_VARIABLE, "").split(",") if name.strip())]


@functools.cache
def classifier_of(name: str) -> TorchClassifier:
    """A model, loaded once."""
    with _ONE_AT_A_TIME:
        return load_classifier(None if name == OWN_MODEL else name, device=None)


def check_sound(file: str | None) -> float:
    """Refuse what cannot be listened to.

    Returns:
        The second at which the loudest tenth of a second begins.

    Raises:
        QuaclrsError: no file, one that is too large or too long, no audio, or silence.
    """
    if not file:
        raise QuaclrsError("there is no sound yet: upload a file or record one")
    name = Path(file).name
    if os.path.getsize(file) > MOST_MEGABYTES * 1e6:
        raise QuaclrsError(f"{name} is larger than {MOST_MEGABYTES:g} MB; give a shorter or compressed file")
    with open_sound(file, name) as sound:
        size = max(1, sound.sampling_rate // 10)
        seconds = (sound.frames or 0) / sound.sampling_rate
        peak, powers = 0.0, []
        for block in sound.blocks(size):
            seconds = max(seconds, len(powers) * size / sound.sampling_rate)
            if seconds > LONGEST_SECONDS:
                raise QuaclrsError(f"{name} lasts {seconds / 60:.0f} minutes; give {LONGEST_SECONDS / 60:g} at most")
            peak = max(peak, float(np.abs(block).max()))
            powers.append(float(np.square(block).mean()))  # of the channels, as their mean may cancel
        if not peak > _SILENT_PEAK:
            raise QuaclrsError(f"{name} is silent: nothing can be heard in it")
        return int(np.argmax(powers)) * size / sound.sampling_rate


def read_middle(model: str, file: str) -> Recording:
    """What the model hears of a file at once, decoded for all that is said of it."""
    return read_recording(file, Path(file).name, classifier_of(model).longest_read)


def label_sound(model: str, sound: Recording) -> dict[str, float]:
    """Class -> score, of the middle of a file."""
    classifier = classifier_of(model)
    with _ONE_AT_A_TIME:
        return {entry["label"]: entry["score"] for entry in classifier.predict(sound)}


def draw_sound(model: str, sound: Recording) -> Figure:
    """The waveform of what is classified, and its log-mel spectrogram."""
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
    below.set_xlabel("time (s)")
    figure.colorbar(image, ax=[above, below], label="dB below the loudest cell", aspect=40)
    return figure


def draw_explanation(model: str, sound: Recording, label: str | None) -> Figure:
    """Where a class was heard, the model's answer where none is given."""
    classifier = classifier_of(model)
    window = classifier.log_mel_config
    with _ONE_AT_A_TIME:
        explanation = explain(classifier, sound, label=label)
    return explanation_figure(explanation, window)


def list_moments(model: str, file: str, loudest: float) -> list[Moment]:
    """The timeline of a file, the segment that holds its loudest second marked; silence is never the loudest."""
    classifier = classifier_of(model)
    with _ONE_AT_A_TIME:
        segments = classifier.predict_timeline(file)
    marked = [s.start <= loudest < s.end and s.label != SILENCE for s in segments]
    return [Moment(segment, mark) for segment, mark in zip(segments, marked, strict=True)]
