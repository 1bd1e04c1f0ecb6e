"""The Space started as a user starts it, on a free port of loopback, and sounds to send it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
import soundfile

from quaclrs.errors import QuaclrsError

APP = Path(__file__).parents[1] / "spaces" / "app.py"


@contextmanager
def running_space(app: Path = APP) -> Iterator[tuple[str, subprocess.Popen]]:
    """Start `python spaces/app.py` without a network: its address and its process.

    Args:
        app: another script, which starts it.

    Raises:
        QuaclrsError: it ended, at the beginning or meanwhile, or does not answer; what it printed is in the message.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "QUACLRS_MODELS")}
    ours = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen([sys.executable, str(app)], env=kept | ours, stdout=log, stderr=log)
        try:
            _wait_for(server, port, log)
            yield f"http://127.0.0.1:{port}/", server
            _refuse_dead(server, log)
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(server: subprocess.Popen, port: int, log: TextIO) -> None:
    for _ in range(360):
        _refuse_dead(server, log)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise QuaclrsError(f"{APP} does not answer on port {port}; start it by itself to see why")


def _refuse_dead(server: subprocess.Popen, log: TextIO) -> None:
    if server.poll() is not None:
        log.seek(0)
        raise QuaclrsError(f"{APP} ended with status {server.returncode}: {log.read()}")


def write_sounds(folder: Path, sounds: Mapping[str, tuple[np.ndarray, int]]) -> dict[str, Path]:
    """Files to send it, by kind: waveforms with their rates, and a text that is `no sound`."""
    files = {kind: folder / f"{kind.replace(', ', '_').replace(' ', '_')}.flac" for kind in sounds}
    for kind, (samples, rate) in sounds.items():
        soundfile.write(files[kind], samples, rate)
    files["no sound"] = folder / "no_sound.wav"
    files["no sound"].write_text("not a sound")
    return files
