"""Start the Space as `python spaces/app.py` does, but explain in few draws: whether an explanation is right is tested
where explanations are, and the browser asks for several."""

import runpy
import sys
from pathlib import Path

from quaclrs.inference import deletion

APP = Path(__file__).parents[2] / "spaces" / "app.py"

deletion._DRAWS = 8
sys.path[0] = str(APP.parent)
runpy.run_path(str(APP), run_name="__main__")
