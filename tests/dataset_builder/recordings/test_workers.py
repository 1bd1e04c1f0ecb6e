"""Worker processes do not outlive the builder, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_builder.recordings.workers import workers
from quaclrs.errors import QuaclrsError

BUSY = """
import sys, time
from pathlib import Path
from dataset_builder.recordings.workers import workers
from dataset_builder.stopping import told_when_stopped
from quaclrs.errors import report_user_errors
from quaclrs.files import written

@report_user_errors
def main():
    with told_when_stopped(), written(Path(sys.argv[1])) as unfinished, workers(2) as ordered_map:
        unfinished.write_text("half")
        list(ordered_map(abs, range(4), 1))
        print("busy", flush=True)
        list(ordered_map(time.sleep, [60, 60], 1))
    return 0

sys.exit(main())
"""


def children_of(process: int) -> set[int]:
    """Processes whose parent is `process`: workers, and the tracker of what they share."""
    stats = [stat.read_text() for stat in Path("/proc").glob("[0-9]*/stat") if stat.exists()]
    fields = [stat.rsplit(")", 1)[1].split() for stat in stats]
    return {int(stat.split()[0]) for stat, after in zip(stats, fields, strict=True) if int(after[1]) == process}


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("number", "to_group", "status", "says"),
    [
        (signal.SIGKILL, False, -9, None),
        (signal.SIGTERM, False, 143, "stopped by SIGTERM: nothing was written"),
        (signal.SIGINT, True, 130, "stopped by Ctrl-C: nothing was written"),
    ],
)
def test_workers_end_with_the_builder_in_the_middle_of_their_work(tmp_path, number, to_group, status, says):
    command = [sys.executable, "-c", BUSY, str(tmp_path / "out")]
    builder = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert builder.stdout.readline() == "busy\n"
    children = children_of(builder.pid)
    assert len(children) >= 2
    os.killpg(builder.pid, number) if to_group else builder.send_signal(number)
    _, error = builder.communicate(timeout=120)  # the machine may be busy
    assert builder.returncode == status
    assert eventually(lambda: not any(Path("/proc", str(child)).exists() for child in children))
    if says:
        assert error.splitlines() == [says]
        assert not list(tmp_path.iterdir())


def test_a_worker_that_is_killed_is_told_in_one_line():
    with pytest.raises(QuaclrsError, match="--num-proc"), workers(2) as ordered_map:
        list(ordered_map(os._exit, [1], 1))
