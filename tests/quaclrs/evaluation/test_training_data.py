"""What a model says that it has heard: by which names clips and recordings are known again, and what is kept of it."""

from __future__ import annotations

import hashlib
import io
import json
import warnings

import numpy as np
import pytest
import soundfile
from datasets import Dataset

from quaclrs.evaluation.training_data import TrainingData

HEARD = {
    "urbansound8k/101415-3-0-2": "urbansound8k/101415",
    "sirennet/ambulance/sound_1": "sirennet/ambulance/sound_1",
    "sirennet/ambulance/sound_2": "sirennet/ambulance/sound_1",
    "extra/saw/forest/a": "extra/day1",
}
ABOUT = {"dataset": "urbansound13", "fingerprint": "f", "protocol": "strict", "test_fold": 2, "validation_fold": 1}


def rows(clips: dict[str, str], attribution: str = "somebody") -> Dataset:
    """Rows of a built data set, of clip_id -> recording_id."""
    names = {"clip_id": list(clips), "recording_id": list(clips.values())}
    return Dataset.from_dict({**names, "attribution": [attribution] * len(clips)})


@pytest.fixture(scope="module")
def heard() -> TrainingData:
    """As it comes back out of `config.json`."""
    return TrainingData.of_model(json.loads(json.dumps(TrainingData.of_training(rows(HEARD), **ABOUT).to_dict())))


@pytest.mark.parametrize(
    ("clip", "recording", "strict", "paper"),
    [
        ("urbansound8k/101415-3-0-2", "urbansound8k/101415", True, True),
        ("urbansound8k/101415-3-0-2#noise_5dB", "urbansound8k/101415", True, True),  # a copy is its clip
        ("urbansound8k/101415-3-0-9", "urbansound8k/101415", True, False),  # another slice of the recording
        ("urbansound8k/7-3-0-2", "urbansound8k/7", False, False),
        ("sirennet/ambulance/sound_1", "sirennet/ambulance/sound_0", True, True),  # grouped otherwise by another build
        ("sirennet/police/sound_1", "sirennet/police/sound_1", False, False),
    ],
)
def test_a_clip_is_known_by_its_recording_and_under_the_papers_protocol_by_itself(
    clip, recording, strict, paper, heard
):
    of_clip = rows({clip: recording})
    assert heard.has_heard(of_clip, "strict").tolist() == heard.has_heard(of_clip, None).tolist() == [strict]
    assert heard.has_heard(of_clip, "paper").tolist() == [paper]


def test_a_recording_is_heard_with_any_of_its_clips(heard):
    regrouped = {"sirennet/ambulance/sound_0": "sirennet/ambulance/sound_0"}
    regrouped |= {"sirennet/ambulance/sound_2": "sirennet/ambulance/sound_0"}
    assert heard.has_heard(rows(regrouped), "strict").tolist() == [True, True]


def test_a_clip_of_the_synthetic_sample_is_not_the_real_one_of_its_name(heard):
    sample = rows(HEARD, attribution="synthesised by quaclrs")
    assert not heard.has_heard(sample, "strict").any()
    assert TrainingData.of_training(sample, **ABOUT).has_heard(sample, "strict").all()


@pytest.mark.parametrize(
    ("file", "is_heard"),
    [
        ("/data/dog_bark/101415-3-0-2.ogg", True),
        ("101415-3-0-2.wav", True),
        ("fold3/101415-3-1-7.flac", True),  # another slice of the recording, by UrbanSound8K's form of names
        ("ESC-50/audio/1-101415-A-2.wav", True),  # of the same recording at Freesound, by ESC-50's
        ("ESC-50/audio/1-101416-A-2.wav", False),
        ("sirens/ambulance/sound_1.mp3", True),
        ("sirens/police/sound_1.mp3", False),
        ("sound_1.mp3", False),
        ("forest/saw/forest/a.wav", True),
        ("a.wav", False),
        ("", False),
        ("caf\udce9.wav", False),
    ],
)
def test_a_file_is_known_by_the_end_of_its_path_whatever_its_format(file, is_heard, heard):
    assert heard.has_heard_files(["other.wav", file]).tolist() == [False, is_heard]


def test_what_two_trainings_heard_is_united_and_each_is_told_once(heard):
    second = TrainingData.of_training(rows({"urbansound8k/7-3-0-2": "urbansound8k/7"}), **{**ABOUT, "test_fold": 3})
    both = heard | second | second
    assert both.has_heard(rows({**HEARD, "urbansound8k/7-3-0-2": "urbansound8k/7"}), "strict").all()
    assert [(training["test_fold"], training["clips"]) for training in both.trainings] == [(2, 4), (3, 1)]
    assert both.complete


def test_weights_that_say_nothing_leave_the_whole_unknown_and_random_ones_do_not(heard):
    assert TrainingData().complete
    for said in (None, {}, {"clips": "?", "recordings": "", "trainings": [], "complete": True}, [1]):
        unknown = TrainingData.of_model(said)
        assert not unknown.complete
        both = TrainingData.of_model((unknown | heard).to_dict())
        assert not both.complete
        assert both.has_heard(rows(HEARD), "strict").all()


def test_a_clip_is_known_by_its_samples_whatever_its_name(heard):
    samples = np.random.default_rng(0).integers(-9_000, 9_000, (2, 4_800), dtype=np.int16)
    flac = io.BytesIO()
    soundfile.write(flac, samples[0], 48_000, format="FLAC")
    sounds = [{"bytes": flac.getvalue(), "path": None}] * len(HEARD)
    with_sounds = TrainingData.of_training(rows(HEARD).add_column("audio", sounds), **ABOUT)
    both = TrainingData.of_model(json.loads(json.dumps((heard | with_sounds).to_dict())))
    digests = [hashlib.md5(clip.tobytes()).digest() for clip in samples]  # as RFC 9639 has it
    assert both.has_heard_contents([*digests, b""]).tolist() == [True, False, False]
    assert not heard.has_heard_contents(digests).any()


def test_the_whole_of_urbansound13_takes_less_than_100_kb_of_json_without_its_samples_digests():
    clips = {f"urbansound8k/{i}-3-0-2": f"urbansound8k/{i // 6}" for i in range(7_803)}
    clips |= {f"sirennet/traffic/sound_{i}": f"sirennet/traffic/sound_{i // 3}" for i in range(1_675)}
    assert len(json.dumps(TrainingData.of_training(rows(clips), **ABOUT).to_dict())) < 100_000


@pytest.mark.parametrize("container", ["WAV", "FLAC without a digest"])
def test_clips_that_carry_no_digest_are_not_taken_for_one_another(container):
    """A WAV's header, or a digest of zeros, is the same in clips of one length."""

    def row(name: str, seed: int) -> dict:
        buffer = io.BytesIO()
        samples = np.random.default_rng(seed).normal(0, 0.1, 1000)
        soundfile.write(buffer, samples, 8000, format=container.split()[0], subtype="PCM_16")
        content = bytearray(buffer.getvalue())
        if container != "WAV":
            content[26:42] = bytes(16)
        audio = {"bytes": bytes(content), "path": None}
        return {"audio": audio, "clip_id": f"a/{name}", "recording_id": f"a/{name}", "attribution": "somebody"}

    heard = TrainingData.of_training(Dataset.from_list([row("one", 1)]), **ABOUT)
    assert heard.has_heard(Dataset.from_list([row("one", 1), row("two", 2)]), "strict").tolist() == [True, False]


def test_files_are_known_by_threads_that_leave_warnings_as_they_were(tmp_path):
    for number in range(12):
        soundfile.write(tmp_path / f"{number}.wav", np.full(4800, 0.1), 48000)
        content = (tmp_path / f"{number}.wav").read_bytes()
        (tmp_path / f"{number}.wav").write_bytes(content[:-1000])  # cut short, which is warned of elsewhere
    before = list(warnings.filters)
    for _ in range(5):
        TrainingData.of_files(sorted(tmp_path.iterdir()), "mine")
    assert warnings.filters == before
