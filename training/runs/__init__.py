"""What every run has around its own learning: options, session, folder, checkpoints, metrics, and the queue of runs."""
