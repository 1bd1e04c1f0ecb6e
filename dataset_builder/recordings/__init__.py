"""Which clips belong together: recordings, seams, duplicates, and the search for leaks."""
