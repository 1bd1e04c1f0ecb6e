"""The Space started as a user starts it, on a free port of loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

APP = Path(__file__).parents[2] / "spaces" / "app.py"


@contextmanager
def running_space(log: Path) -> Iterator[str]:
    """Start `python spaces/app.py` without a network; its address. What it prints goes to `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "QUACLRS_MODELS")}
    ours = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    with log.open("w") as output:
        server = subprocess.Popen([sys.executable, str(APP)], env=kept | ours, stdout=output, stderr=output)
    try:
        for _ in range(360):
            assert server.poll() is None, log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        else:
            raise AssertionError(f"the Space does not answer: {log.read_text()}")
        yield f"http://127.0.0.1:{port}/"
        assert server.poll() is None, log.read_text()
    finally:
        server.terminate()
        server.wait(30)
