"""Training, evaluation and publishing commands, run from a clone (`python -m training.quickstart`)."""

from quaclrs.extras import require_for_command

require_for_command("train")
