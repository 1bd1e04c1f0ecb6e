"""One module a question, each against its peers in the same run."""
