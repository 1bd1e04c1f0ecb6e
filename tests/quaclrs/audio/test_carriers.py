"""What a sound may come in: every carrier gives what its samples give, and others are refused in one line."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from quaclrs import QuaclrsError, load_classifier
from quaclrs.inference.pytorch import AudioClassifier

RATE = 16_000
SAMPLES = np.round(0.4 * np.sin(np.arange(4 * RATE) / 7) * 32768).astype(np.int16)


@pytest.fixture(scope="module")
def classifier(tiny_classifier_folder: Path) -> AudioClassifier:
    return load_classifier(tiny_classifier_folder, device="cpu")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("carried") / "clip.wav"
    soundfile.write(file, SAMPLES, RATE)
    return file


class Pipe(io.RawIOBase):
    """Bytes that can be read once, from front to back."""

    def __init__(self, content: bytes) -> None:
        self.content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self.content.readinto(buffer)


@dataclass
class Samples:
    """What a decoder of torchcodec gives."""

    data: torch.Tensor
    sample_rate: int


@dataclass
class Decoder:
    """A decoder of torchcodec."""

    samples: Samples

    def get_all_samples(self) -> Samples:
        return self.samples


def read_to_the_end(content: bytes) -> io.BytesIO:
    buffer = io.BytesIO(content)
    buffer.read()
    return buffer


FLOATS = (SAMPLES / 32768).astype(np.float32)
STEREO = np.stack([SAMPLES, SAMPLES], axis=1)
CARRIERS = {
    "bytes": lambda file: file.read_bytes(),
    "BytesIO": lambda file: io.BytesIO(file.read_bytes()),
    "BytesIO that was read": lambda file: read_to_the_end(file.read_bytes()),
    "open file": lambda file: file.open("rb"),
    "unbuffered file": lambda file: file.open("rb", buffering=0),
    "pipe": lambda file: Pipe(file.read_bytes()),
    "(rate, int16) of Gradio": lambda _: (RATE, SAMPLES),
    "(rate, stereo) of Gradio": lambda _: (RATE, STEREO),
    "(samples, rate) of soundfile": lambda file: soundfile.read(file),
    "[rate, samples]": lambda _: [RATE, SAMPLES],
    "(tensor, rate) of torchaudio": lambda _: (torch.from_numpy(FLOATS)[None], RATE),
    "array and sampling_rate": lambda _: {"array": SAMPLES, "sampling_rate": RATE, "path": None},
    "raw and sampling_rate": lambda _: {"raw": FLOATS, "sampling_rate": RATE},
    "bytes and path": lambda file: {"bytes": file.read_bytes(), "path": "elsewhere.wav"},
    "path alone": lambda file: {"bytes": None, "path": str(file)},
    "decoder": lambda _: Decoder(Samples(torch.from_numpy(FLOATS)[None], RATE)),
    "decoded": lambda _: Samples(torch.from_numpy(FLOATS)[None], RATE),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_carrier_gives_the_scores_of_its_samples(carrier: str, classifier: AudioClassifier, file: Path) -> None:
    wanted = classifier.probabilities([FLOATS], sampling_rate=RATE)[0]
    sound = CARRIERS[carrier](file)
    found = classifier.predict(sound)
    assert isinstance(found[0], dict)
    np.testing.assert_allclose([entry["score"] for entry in found], np.sort(wanted)[::-1], atol=1e-6)
    assert len(classifier.predict([CARRIERS[carrier](file), FLOATS])) == 2


def test_a_file_that_was_given_open_stays_open_and_can_be_heard_again(classifier: AudioClassifier, file: Path) -> None:
    with file.open("rb") as opened:
        assert classifier.predict(opened) == classifier.predict(opened)
        assert classifier.predict_timeline(opened) == classifier.predict_timeline(file)
        assert not opened.closed


def test_samples_and_channels_in_either_order_are_one_clip(classifier: AudioClassifier) -> None:
    stereo = np.stack([FLOATS, 0.5 * FLOATS[::-1]])
    np.testing.assert_array_equal(classifier.prepare([stereo], RATE), classifier.prepare([stereo.T], RATE))


@pytest.mark.parametrize(
    ("sound", "words"),
    [
        (None, "a sound cannot be of type NoneType; give a path"),
        (3.5, "a sound cannot be of type float"),
        (np.float32(1), "a sound cannot be of type float32"),
        (print, "a sound cannot be of type builtin_function"),
        ("", "the path of a sound is empty; give one"),
        (b"hello", "the file in memory is text, no sound"),
        ({"array": SAMPLES, "sampling_rate": "22050"}, "sampling_rate is '22050'; it must be a number from 100 to"),
        ({"label": 3}, "a sound cannot be a mapping with label"),
        ({"array": SAMPLES}, "a sound cannot be a mapping with array"),
        ({}, "a mapping with nothing"),
        (io.StringIO("clip"), "open as text; open it with mode 'rb'"),
        (np.array(["clip.wav"]), "numbers"),
        (np.zeros((300, 200), np.float32), "300 channels"),
        ([[[0.1], [0.2, 0.3]]], "channels of a clip differ in length"),
    ],
)
def test_what_carries_no_sound_is_refused_in_one_line(sound, words: str, classifier: AudioClassifier) -> None:
    with pytest.raises(QuaclrsError, match=words) as error:
        classifier.predict(sound)
    assert "\n" not in str(error.value)


def test_a_timeline_of_samples_is_that_of_their_file(classifier: AudioClassifier, file: Path) -> None:
    assert classifier.predict_timeline((RATE, SAMPLES)) == classifier.predict_timeline(file)
