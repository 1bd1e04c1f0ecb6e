"""Search for clips cut from one recording, by sound alone."""

from .recordings import Grouping, GroupingConfig, group_recordings

__all__ = ["Grouping", "GroupingConfig", "group_recordings"]
