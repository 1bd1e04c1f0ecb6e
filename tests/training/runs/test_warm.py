"""Processes that train run after run."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from quaclrs.errors import QuaclrsError
from training.runs.termination import end_with_launcher
from training.runs.warm import WarmProcesses


def status_of(number: int) -> int:
    print(f"number {number}")
    return number


def leave(status: int) -> int:
    sys.exit(status)


def be_killed() -> int:
    os.kill(os.getpid(), 9)
    return 0


def test_work_gives_its_status_however_it_ends_and_its_output_goes_to_standard_error(capfd, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with WarmProcesses(1) as processes:
        assert processes.do(status_of, 3) == 3
        assert processes.do(leave, 143) == 143
        with pytest.raises(QuaclrsError, match="a process that trains was killed; run the command again"):
            processes.do(be_killed)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "number 3" in printed.err


def end_with_its_launcher() -> int:
    end_with_launcher()
    return 0


def test_processes_outlive_the_threads_that_give_them_work(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with WarmProcesses(1) as processes:
        for _ in range(2):
            with ThreadPoolExecutor(1) as threads:
                assert threads.submit(processes.do, end_with_its_launcher).result() == 0


def outlast_sigterm() -> int:
    """Work that does at SIGTERM what a training does: it ends in its own time, with a status."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    print(f"process {os.getpid()} ", flush=True)
    while not told:
        time.sleep(0.05)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return 143


def wait() -> int:
    print(f"process {os.getpid()} ", flush=True)
    return 0


def is_running(process: int) -> bool:
    """False also of a process that ended and that nobody has asked for its status."""
    file = Path(f"/proc/{process}/stat")
    return file.exists() and file.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a process of its parent's death")
@pytest.mark.parametrize("work", [outlast_sigterm, wait])
def test_a_process_ends_with_the_command_amid_its_work_and_between(work, tmp_path):
    script = tmp_path / "command.py"
    script.write_text(
        "import time\nfrom training.runs.warm import WarmProcesses\nfrom test_warm import *\n"
        f"if __name__ == '__main__':\n  with WarmProcesses(1) as processes:\n    processes.do({work.__name__})\n"
        "    time.sleep(60)\n"
    )
    paths = os.pathsep.join(str(Path(__file__).parents[up]) for up in (0, 3))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = subprocess.Popen([sys.executable, str(script)], env=environment, stderr=subprocess.PIPE, text=True)
    with command.stderr:
        process = int(next(line for line in command.stderr if line.startswith("process")).split()[1])
        if work is wait:
            time.sleep(0.5)
        command.kill()
        command.wait()
        ends = time.monotonic() + 20
        while (running := is_running(process)) and time.monotonic() < ends:
            time.sleep(0.1)
        if running:
            os.kill(process, signal.SIGKILL)
        assert not running
