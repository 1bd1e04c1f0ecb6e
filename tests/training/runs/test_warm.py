"""Processes that train run after run."""

import os
import sys

import pytest

from quaclrs.errors import QuaclrsError
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
