"""The data card: its text, tables and pictures."""
