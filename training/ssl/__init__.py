"""Self-supervised training, piece by piece: model, step, evaluation, results and card."""
