"""Fixtures that several folders of tests share. Add to this file; do not replace it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings; tests that need them are skipped where it is absent."""
    folder = Path(os.environ.get("QUACLRS_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real recordings not found in {folder}: set QUACLRS_SHARED_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def sample_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded sample, synthesised and built by the command that the README names: a folder for load_dataset."""
    from dataset_builder.__main__ import main

    folder = tmp_path_factory.mktemp("sample") / "sample"
    assert main(["sample", "--output", str(folder)]) == 0
    return folder
