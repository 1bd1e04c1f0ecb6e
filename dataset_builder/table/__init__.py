"""The table that is built: rows, pictures, shards, and the transcoding that fills it."""
