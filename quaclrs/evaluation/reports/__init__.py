"""What is said of results in words and tables."""
