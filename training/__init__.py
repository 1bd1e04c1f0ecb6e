"""Training, evaluation and publishing commands, run from a clone (`python -m training.quickstart`)."""

import os

from quaclrs.extras import require_for_command

require_for_command("train")
# Threads of PyTorch that wait for each other sleep, in place of holding a core in a loop: beside another program on the
# same cores such a loop made a step take twenty times as long. OpenMP reads it when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
