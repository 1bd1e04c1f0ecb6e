"""Annotate an archive of recordings: one table of what was heard and when, and a summary of it."""

from __future__ import annotations

from .annotate import Outcome, annotate
from .hearing import HearingOptions

__all__ = ["HearingOptions", "Outcome", "annotate"]
