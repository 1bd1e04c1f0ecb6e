"""Which clips are cut from one recording, found from the sound alone."""

from .recordings import Grouping, GroupingConfig, group_recordings

__all__ = ["Grouping", "GroupingConfig", "group_recordings"]
