"""An archive of recordings to one table of what is heard when, and what that table says."""

from __future__ import annotations

from .annotate import Outcome, annotate
from .hearing import HearingOptions

__all__ = ["HearingOptions", "Outcome", "annotate"]
