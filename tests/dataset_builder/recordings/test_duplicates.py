"""Clips of equal samples are kept once, whatever they are called; copies that differ are left to the grouping."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import soundfile

from dataset_builder.recordings.duplicates import (
    conflicting_labels,
    copies_of_reference,
    find_exact_duplicates,
    pcm_fingerprint,
)
from quaclrs.audio import read_recording


def noise(seed: int, samples: int = 4000, channels: int = 1) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal((channels, samples))).astype(np.float32)


def test_of_equal_clips_the_first_in_natural_order_is_kept_whatever_the_order_they_come_in():
    prints = {f"sirennet/police/sound_{n}": pcm_fingerprint(noise(n % 2), 22050) for n in (2, 10, 4, 3, 11)}
    expected = {
        "sirennet/police/sound_4": "sirennet/police/sound_2",
        "sirennet/police/sound_10": "sirennet/police/sound_2",
        "sirennet/police/sound_11": "sirennet/police/sound_3",
    }
    for order in itertools.permutations(prints):
        found = find_exact_duplicates({clip_id: prints[clip_id] for clip_id in order})
        assert list(found.items()) == list(expected.items())


def test_what_decodes_to_the_same_samples_is_equal_in_any_container(tmp_path: Path):
    samples = np.round(noise(1)[0] * 32768) / 32768
    for name, form in (("a.wav", "WAV"), ("b.flac", "FLAC"), ("c.aiff", "AIFF")):
        soundfile.write(tmp_path / name, samples, 22050, format=form, subtype="PCM_16")
    recordings = [read_recording(path) for path in sorted(tmp_path.iterdir())]
    assert len({pcm_fingerprint(r.waveform, r.sampling_rate) for r in recordings}) == 1


def test_another_rate_channel_count_length_sample_or_gain_is_no_exact_duplicate():
    sound = noise(1, channels=2)
    last = sound.copy()
    last[0, -1] += 2**-15
    flat = sound.reshape(1, -1)
    others = [(sound, 44100), (sound[:1], 22050), (sound[:, :-1], 22050), (last, 22050), (sound / 2, 22050)]
    others += [(flat, 22050), (sound[::-1], 22050), (-sound, 22050), (sound, 22050)]
    assert len({pcm_fingerprint(x, rate) for x, rate in others}) == len(others)
    silence = np.zeros((1, 10), dtype=np.float32)
    assert pcm_fingerprint(silence, 8000) == pcm_fingerprint(-silence, 8000)


def test_equal_clips_of_two_classes_are_kept_once_and_reported():
    prints = {name: pcm_fingerprint(noise(seed), 22050) for name, seed in (("t/1", 1), ("a/2", 1), ("a/3", 1))}
    duplicates = find_exact_duplicates(prints)
    assert duplicates == {"a/3": "a/2", "t/1": "a/2"}
    label_of = {"t/1": "traffic", "a/2": "ambulance", "a/3": "ambulance"}
    assert conflicting_labels(duplicates, label_of) == {"t/1": "a/2"}


def test_a_new_clip_that_is_one_of_urbansound8k_is_named_with_it():
    old = {f"urbansound8k/{n}-8-0-0": pcm_fingerprint(noise(7), 22050) for n in (10, 9)}
    new = {"sirennet/police/sound_1": pcm_fingerprint(noise(7), 22050), "sirennet/police/sound_2": b"another"}
    assert copies_of_reference(new, old) == {"sirennet/police/sound_1": "urbansound8k/9-8-0-0"}


def test_no_real_clip_is_a_duplicate_unless_its_bytes_say_so(shared_data: Path):
    files = sorted((shared_data / "sireNNet" / "traffic").glob("*.ogg"))[:40]
    assert len(files) == 40
    prints, copies = {}, {}
    for file in files:
        recording = read_recording(file)
        prints[file.stem] = pcm_fingerprint(recording.waveform, recording.sampling_rate)
        copies[file.stem] = recording.waveform.astype(np.float64)
    found = find_exact_duplicates(prints)
    for a, b in itertools.combinations(copies, 2):
        equal = copies[a].shape == copies[b].shape and bool((copies[a] == copies[b]).all())
        assert equal == (found.get(b) == a or (a in found and found.get(b) == found[a]))
