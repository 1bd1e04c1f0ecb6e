"""The parts of every run around its own learning: options, session, folder, checkpoints, metrics, queue."""
