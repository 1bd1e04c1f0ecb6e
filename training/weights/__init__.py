"""Pretrained weights: where they are found, and how they come into a network."""
