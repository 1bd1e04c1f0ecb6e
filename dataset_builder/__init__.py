"""Builds UrbanSound13 from its sources (`python -m dataset_builder --help`)."""

from quaclrs.extras import require_for_command

require_for_command("train")
