"""One running Space for all tests of this folder, and sounds to send it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.running_space import running_space, write_sounds


@pytest.fixture(scope="session")
def space() -> Iterator[str]:
    """Address of the running Space."""
    with running_space() as (address, _):
        yield address


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Good and bad files by kind."""
    folder = tmp_path_factory.mktemp("sounds")
    generator = np.random.default_rng(0)
    street = np.concatenate([generator.normal(0, 0.02, 12 * 22_050), generator.normal(0, 0.3, 3 * 22_050)])
    made = {
        "noise": (generator.normal(0, 0.1, (3 * 44_100, 2)), 44_100),
        "street": (street, 22_050),
        "silent": (np.zeros(48_000), 48_000),
        "long": (generator.normal(0, 0.1, 601 * 8_000), 8_000),
    }
    return write_sounds(folder, made)
