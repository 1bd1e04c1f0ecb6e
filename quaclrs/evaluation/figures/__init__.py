"""Every figure of the project, in one palette; none of them needs a display."""
