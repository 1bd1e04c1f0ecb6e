"""How a run notices that it is to end, and how the workers that decode for it live on until it has saved."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from training.runs import termination as module
from training.runs.termination import WAITED_FOR, Termination, end_with_launcher, outlive_signals

ALONE = SimpleNamespace(num_processes=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noticed_and_leaves_the_former_handler_in_place_afterwards(number):
    former = signal.getsignal(number)
    with Termination() as termination:
        assert termination.requested(ALONE) is None
        os.kill(os.getpid(), number)
        assert termination.requested(ALONE) is number
    assert signal.getsignal(number) is former


def test_a_second_ctrl_c_ends_at_once_and_what_a_launcher_hands_on_does_not_count_as_one(monkeypatch):
    with Termination() as termination:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)  # the same key, by the launcher
        os.kill(os.getpid(), signal.SIGTERM)
        assert termination.requested(ALONE) is signal.SIGINT
        monkeypatch.setattr(module, "_SAME_KEY", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def several(told: list[float]) -> SimpleNamespace:
    """This process and another, which has been told so and has waited as long as its last figure says."""
    return SimpleNamespace(num_processes=2, device="cpu", reduce=lambda own, reduction: own + torch.tensor(told))


@pytest.mark.parametrize(
    ("told", "expected"), [([0, 0, 0], None), ([1, 0, 0], signal.SIGTERM), ([0, 1, 0], signal.SIGINT)]
)
def test_several_processes_stop_when_any_of_them_was_told_to(told, expected):
    assert Termination().requested(several(told)) is expected


@pytest.mark.parametrize(("seconds", "steps"), [(0.0, 10), (2.0, 2), (60.0, 1)])
def test_several_processes_ask_the_more_often_the_longer_their_steps_take(seconds, steps):
    """Of two processes that both needed so long for a step, one question comes within five seconds of the last."""
    termination = Termination(at_most=10)
    both = several([0, 0, 2 * seconds])
    assert termination.is_due(both)
    termination.requested(both)
    asked = [termination.is_due(both) for _ in range(steps)]
    assert asked == [False] * (steps - 1) + [True]


class TellsItsWorkers:
    """Clips whose reading sends the worker the signals of its group: from another process, as a scheduler does."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        for name in ("TERM", "INT"):
            subprocess.run(["kill", f"-{name}", str(os.getpid())], check=True)
        return index


def test_workers_outlive_the_signals_of_their_group():
    loader = DataLoader(TellsItsWorkers(), num_workers=1, worker_init_fn=outlive_signals)
    assert [int(batch) for batch in loader] == [0, 1]


def forked(work: Callable[[int], None]) -> tuple[int, int]:
    """A child that does this work, is given the end of a pipe to write into, and sleeps; its id and the other end."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        work(write)
        time.sleep(60)
        os._exit(1)
    os.close(write)
    return child, read


def test_a_worker_ends_when_its_own_parent_ends_it():
    """Else a run that fails would wait for it for ever."""

    def be_worker(pipe: int) -> None:
        outlive_signals(0)
        os.write(pipe, b"ready")

    child, pipe = forked(be_worker)
    assert os.read(pipe, 5) == b"ready"
    subprocess.run(["kill", "-TERM", str(child)], check=True)
    assert not select.select([pipe], [], [], 0.2)[0]  # it would be at its end
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the death of a parent is told on Linux only")
@pytest.mark.parametrize(
    ("variable", "ends"),
    [("ACCELERATE_MIXED_PRECISION", True), ("TORCHELASTIC_RUN_ID", True), (WAITED_FOR, True), ("SHLVL", False)],
)
def test_a_training_ends_with_a_launcher_that_is_killed_but_not_with_a_shell(variable, ends, monkeypatch):
    for name in ("ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID", WAITED_FOR):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "1")

    def start_training(pipe: int) -> None:
        if os.fork() == 0:
            end_with_launcher()
            os.write(pipe, str(os.getpid()).encode())
            time.sleep(60)
        os.close(pipe)

    launcher, pipe = forked(start_training)
    training = int(os.read(pipe, 20))
    os.kill(launcher, signal.SIGKILL)
    os.waitpid(launcher, 0)
    assert bool(select.select([pipe], [], [], 10 if ends else 0.3)[0]) is ends
    if not ends:
        os.kill(training, signal.SIGKILL)
