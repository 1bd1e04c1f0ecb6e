"""Fixtures that the tests of the library share."""

from __future__ import annotations

import pytest


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Explanations whose map nobody looks at: they take a tenth of the time."""
    monkeypatch.setattr("quaclrs.inference.deletion._DRAWS", 2)
    monkeypatch.setattr("quaclrs.inference.faithfulness._DRAWS", 1)
