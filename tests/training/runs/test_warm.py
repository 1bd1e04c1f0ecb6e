"""Processes that train run after run."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

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
