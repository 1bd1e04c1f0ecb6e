"""What the tests of the data set builder share."""

from __future__ import annotations

from pathlib import Path

import pytest
from built_pictures import KINDS, build, write_sources

from dataset_builder.sample import write_sample


@pytest.fixture(scope="session")
def sample_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the embedded sample (seed 0): `UrbanSound8K` and `sireNNet`."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few recordings of both sources."""
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def built(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A data set of each config, built of `sources`."""
    folder = tmp_path_factory.mktemp("built")
    for kind in KINDS:
        assert build(sources, folder / kind, "--config", kind) == 0
    return {kind: folder / kind for kind in KINDS}
