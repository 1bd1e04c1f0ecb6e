"""Metrics, probes and plots; none of them knows how a model was trained."""
