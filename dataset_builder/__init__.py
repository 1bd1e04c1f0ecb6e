"""Builds UrbanSound13 from its sources (`python -m dataset_builder --help`)."""
