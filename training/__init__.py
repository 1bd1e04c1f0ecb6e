"""Training, evaluation and publishing commands, run from a clone (`python -m training.quickstart`)."""
