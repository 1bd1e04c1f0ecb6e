"""What the tests of the data set builder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_builder.sample import write_sample


@pytest.fixture(scope="session")
def sample_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the embedded sample (seed 0): `UrbanSound8K` and `sireNNet`."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder)
    return folder
