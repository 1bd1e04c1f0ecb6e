"""The paper's four questions, answered by runs of a size that a small machine bears."""
