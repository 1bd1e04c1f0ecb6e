"""Embeddings of windows: the same from the cache as without it, whoever else writes it."""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_sounds import RATE, sound_of

from quaclrs import load_classifier
from quaclrs.audio import AudioError
from quaclrs.learning.embedded import Part
from quaclrs.learning.embeddings import Embedder, digest_of_encoder, load_embedded
from quaclrs.models import LogMelConfig
from quaclrs.saved_model import open_saved_model


@pytest.fixture(scope="module")
def classifier():
    return load_classifier()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = []
    for place, (kind, seconds) in enumerate((("hum", 1.0), ("hiss", 5.0), ("clicks", 11.0))):
        found.append(tmp_path / f"{kind}.wav")
        soundfile.write(found[-1], sound_of(kind, place, seconds), RATE)
    return found


def embed(classifier, cache, files):
    return list(Embedder(classifier, digest_of_encoder(open_saved_model()), cache).embed([Part(f) for f in files]))


def test_windows_are_embedded_as_the_classifier_does_and_the_cache_gives_the_same(classifier, files, tmp_path):
    fresh = embed(classifier, None, files)
    assert [len(found.starts) for found in fresh] == [1, 1, 3]
    assert fresh[2].starts[-1] == pytest.approx(7.0, abs=0.01)
    own = classifier.embed(str(files[0]))
    np.testing.assert_allclose(fresh[0].vectors[0], own, atol=2e-3 * np.abs(own).max())
    first, second = (embed(classifier, tmp_path / "cache", files) for _ in range(2))
    for found in (first, second):
        for one, other in zip(found, fresh, strict=True):
            np.testing.assert_array_equal(one.vectors, other.vectors)
            np.testing.assert_array_equal(one.starts, other.starts)


def test_a_copy_is_known_by_its_content_and_a_damaged_file_of_the_cache_is_made_anew(classifier, files, tmp_path):
    cache = tmp_path / "cache"
    whole = embed(classifier, cache, files[:1])[0]
    kept = list(cache.rglob("*.safetensors"))
    copy = tmp_path / "copy.wav"
    copy.write_bytes(files[0].read_bytes())
    embed(classifier, cache, [copy])
    assert list(cache.rglob("*.safetensors")) == kept
    kept[0].write_bytes(kept[0].read_bytes()[:500])
    np.testing.assert_array_equal(embed(classifier, cache, files[:1])[0].vectors, whole.vectors)
    assert len(kept[0].read_bytes()) > 500


def test_a_clip_a_little_longer_than_a_window_is_heard_where_it_is_loud(classifier, tmp_path):
    sound = 1e-3 * np.random.default_rng(0).standard_normal(round(5.5 * RATE))
    sound[-RATE:] += sound_of("hiss", 1, 1.0)
    soundfile.write(tmp_path / "late.wav", sound, RATE)
    (found,) = embed(classifier, None, [tmp_path / "late.wav"])
    assert found.starts.tolist() == [pytest.approx(1.5, abs=0.1)]


def test_a_part_of_a_file_is_heard_alone_and_one_beyond_its_end_is_told(classifier, files):
    embedder = Embedder(classifier, "encoder")
    part, beyond = embedder.embed([Part(files[2], 2.0, 3.0), Part(files[2], 30.0, 31.0)])
    assert part.starts.tolist() == [2.0]
    own = classifier.embed(soundfile.read(files[2], dtype="float32")[0][2 * RATE : 3 * RATE], RATE)
    np.testing.assert_allclose(part.vectors[0], own, atol=2e-3 * np.abs(own).max())
    assert isinstance(beyond, AudioError)
    assert "begins at 30 s; correct the table" in str(beyond)


def in_a_process(arguments: tuple[Path, list[Path]]) -> list[np.ndarray]:
    cache, files = arguments
    return [found.vectors for found in embed(load_classifier(threads=1), cache, files)]


def test_two_processes_may_fill_one_cache(files, tmp_path):
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        one, other = pool.map(in_a_process, [(tmp_path / "cache", files)] * 2)
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 3
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_dir() and path.name.startswith(".")]


def test_threads_read_the_cache_at_once_while_memory_is_collected(classifier, files, tmp_path):
    embed(classifier, tmp_path / "cache", files[:1])
    (kept,) = (tmp_path / "cache").rglob("*.safetensors")

    class Cycle:
        """Runs Python when it is collected, so that another thread may go on amid whatever was being done."""

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            sum(range(200))

    def read(_: int) -> int:
        Cycle()
        found = load_embedded(kept)
        assert found is not None
        return len(found.starts)

    former, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(1, 1, 1)
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(read, range(400))) == {1}
    finally:
        gc.set_threshold(*former)
        sys.setswitchinterval(interval)


def test_long_files_take_no_more_memory_than_short_ones(tmp_path):
    class Deaf:
        """Takes the time of a network to say nothing."""

        log_mel_config = LogMelConfig(sampling_rate=RATE, n_fft=1024, hop_length=512)

        def embed_waveforms(self, waveforms: np.ndarray) -> np.ndarray:
            time.sleep(0.002)
            return waveforms[:, :3]

    def peak_of(minutes: int) -> float:
        file = tmp_path / f"{minutes}.wav"
        soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, minutes * 60 * RATE), RATE)
        tracemalloc.start()
        for found in Embedder(Deaf(), "encoder").embed([Part(file)] * 6):
            assert len(found.starts) == minutes * 15
            assert found.duration == minutes * 60
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak_of(12) < 1.3 * peak_of(3)
