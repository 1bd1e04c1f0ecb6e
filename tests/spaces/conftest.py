"""One running Space for all tests of this folder, and sounds to send it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from benchmarks.running_space import running_space, write_sounds

QUICK_SPACE = Path(__file__).with_name("quick_space.py")

#: The running Space, and its address while it runs.
_RUNNING = ExitStack()
_ADDRESS: list[str] = []


@pytest.fixture(scope="module")
def space() -> str:
    """Address of the running Space, one for all tests of this folder."""
    if not _ADDRESS:
        _ADDRESS.append(_RUNNING.enter_context(running_space(QUICK_SPACE))[0])
    return _ADDRESS[0]


def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """End the Space where no test of this folder follows: idle it takes a tenth of a core from all others."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        _ADDRESS.clear()
        _RUNNING.close()


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
