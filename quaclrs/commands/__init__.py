"""The commands of `quaclrs`, one a file; none imports torch before it runs."""
