"""What the tests of the data set builder share."""

from __future__ import annotations

from pathlib import Path

import pytest

import quaclrs.models  # noqa: F401 - so that no build of a test reads the front end in a child process

from dataset_builder.sample import write_sample


@pytest.fixture(scope="session")
def sample_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the embedded sample (seed 0): `UrbanSound8K` and `sireNNet`."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder
