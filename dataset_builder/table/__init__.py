"""The table that is built: rows, folds, shards and the processes that fill it."""
