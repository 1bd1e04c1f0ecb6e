"""Recordings and folds of clips: broken and equal clips left out, recordings found and dealt, leaks looked for."""
