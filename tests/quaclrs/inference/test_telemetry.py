"""Nothing is kept of the machine, and nobody is called, when a sound is labelled."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "spaces" / "examples" / "dog_bark.ogg"


def test_a_label_leaves_no_file_of_onnx_runtimes_telemetry(tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir(), temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(home / ".cache")}
    command = [sys.executable, "-m", "quaclrs.cli", "predict", str(EXAMPLE)]
    labelled = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert labelled.returncode == 0 and "dog_bark" in labelled.stdout, labelled.stderr
    written = [file.name for folder in (home, temporary) for file in folder.rglob("*") if file.is_file()]
    assert not [name for name in written if name == ".ses" or "onnx" in name or "deviceid" in name], written
