"""Clips of three kinds, each another recording, and a model that learned them."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_sounds import write_sounds

from quaclrs.learning import Learned, learn


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embeddings of these tests, so that each sound is embedded once."""
    return tmp_path_factory.mktemp("windows")


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("sounds") / "my sounds")


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory, sounds: Path, cache: Path) -> Learned:
    return learn(sounds, tmp_path_factory.mktemp("learned") / "model", cache=cache)
