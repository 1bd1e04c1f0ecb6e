"""Checkpoints on disk: which stay, which count, and what a run that dies while it writes or deletes leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from training.runs.checkpoints import Termination, list_checkpoints, load_last_checkpoint, save_checkpoint


class Killed(BaseException):
    """Stands for the end of the process: no `except Exception` sees it."""


class OneTensor:
    """The least that a checkpoint needs of an accelerator: one process whose whole state is a tensor."""

    is_main_process = True

    def __init__(self) -> None:
        self.tensor = torch.zeros(3)

    def wait_for_everyone(self) -> None:
        pass

    def save_state(self, folder: str) -> None:
        Path(folder).mkdir()
        torch.save(self.tensor, Path(folder) / "tensor.pt")

    def load_state(self, folder: str) -> None:
        self.tensor = torch.load(Path(folder) / "tensor.pt")


def save(folder: Path, epochs: int, steps: int = 0, keep: int = 2, accelerator: OneTensor | None = None) -> None:
    accelerator = accelerator or OneTensor()
    accelerator.tensor = torch.full((3,), epochs + steps / 1000)
    save_checkpoint(accelerator, folder, epochs, {"history": [epochs], "unfinished": None}, steps, keep)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        (1, {"epoch-0002"}),
        (2, {"epoch-0001-step-000012", "epoch-0002"}),
        (3, {"epoch-0001", "epoch-0001-step-000012", "epoch-0002"}),
        (9, {"epoch-0000-step-000005", "epoch-0001", "epoch-0001-step-000012", "epoch-0002"}),
    ],
)
def test_the_newest_checkpoints_stay_and_those_amid_an_epoch_count_among_them(folder, keep, left):
    for epochs, steps in ((0, 5), (1, 0), (1, 12), (2, 0)):
        save(folder, epochs, steps, keep)
    assert names(folder) == left


def test_a_lower_number_to_keep_holds_for_what_an_earlier_launch_left(folder):
    for epochs in (1, 2, 3):
        save(folder, epochs, keep=5)
    save(folder, 4, keep=1)
    assert names(folder) == {"epoch-0004"}


def test_age_is_told_by_number_when_epochs_or_steps_outgrow_their_zeros(folder):
    for epochs, steps in ((9999, 0), (9999, 999_999), (9999, 1_000_000), (10_000, 0)):
        save(folder, epochs, steps, keep=9)
    assert [path.name for path in list_checkpoints(folder)] == [
        "epoch-9999", "epoch-9999-step-999999", "epoch-9999-step-1000000", "epoch-10000",
    ]  # fmt: skip


def test_the_newest_checkpoint_is_restored_with_its_state(folder):
    assert load_last_checkpoint(OneTensor(), folder) is None
    save(folder, 1)
    save(folder, 1, steps=12)
    accelerator = OneTensor()
    assert load_last_checkpoint(accelerator, folder) == {"history": [1], "unfinished": None}
    assert accelerator.tensor.tolist() == pytest.approx([1.012] * 3)


def test_a_checkpoint_that_was_not_written_to_its_end_is_not_restored_and_gives_way_to_the_next(folder):
    save(folder, 1)

    class Dies(OneTensor):
        def save_state(self, folder: str) -> None:
            super().save_state(folder)
            raise Killed

    with pytest.raises(Killed):
        save(folder, 2, accelerator=Dies())
    (folder / "best.partial").write_bytes(b"half")
    assert names(folder) == {"epoch-0001", "epoch-0002.partial", "best.partial"}
    accelerator = OneTensor()
    load_last_checkpoint(accelerator, folder)
    assert accelerator.tensor.tolist() == [1.0] * 3
    assert names(folder) == {"epoch-0001"}
    with pytest.raises(Killed):
        save(folder, 2, accelerator=Dies())
    save(folder, 2)
    assert names(folder) == {"epoch-0001", "epoch-0002"}


def test_a_checkpoint_that_was_half_deleted_is_not_taken_for_a_complete_one(folder, monkeypatch):
    save(folder, 1)

    def delete_the_tensor_and_die(path):
        (Path(path) / "tensor.pt").unlink()
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(shutil, "rmtree", delete_the_tensor_and_die)
        save(folder, 2, keep=1)
    assert names(folder) == {"epoch-0001.partial", "epoch-0002"}
    assert [path.name for path in list_checkpoints(folder)] == ["epoch-0002"]
    accelerator = OneTensor()
    load_last_checkpoint(accelerator, folder)
    assert accelerator.tensor.tolist() == [2.0] * 3
    assert names(folder) == {"epoch-0002"}


def test_other_things_in_the_folder_are_neither_checkpoints_nor_deleted(folder):
    (folder / "epoch-0007").mkdir()  # copied by hand, without its state
    (folder / "epoch-0003-of-the-thesis").mkdir()
    (folder / "best.safetensors").write_bytes(b"weights")
    for epochs in (1, 2, 3):
        save(folder, epochs, keep=1)
    assert names(folder) == {"epoch-0003", "epoch-0007", "epoch-0003-of-the-thesis", "best.safetensors"}


def test_accelerate_restores_weights_and_momentum(folder):
    def prepared():
        accelerator = Accelerator()
        torch.manual_seed(0)
        model = torch.nn.Linear(2, 1)
        return accelerator, *accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))

    def step(accelerator, model, optimizer):
        accelerator.backward(model(torch.tensor([[1.0, -2.0]])).square().sum())
        optimizer.step()
        optimizer.zero_grad()

    whole, parted = prepared(), prepared()
    for _ in range(6):
        step(*whole)
    for _ in range(3):
        step(*parted)
    save_checkpoint(parted[0], folder, 0, {}, steps=3)
    parted = prepared()
    load_last_checkpoint(parted[0], folder)
    for _ in range(3):
        step(*parted)
    assert torch.equal(whole[1].weight, parted[1].weight)
    assert not torch.equal(whole[1].weight, prepared()[1].weight)


def test_sigterm_is_noticed_and_leaves_the_former_handler_in_place_afterwards():
    former = signal.getsignal(signal.SIGTERM)
    with Termination() as termination:
        alone = SimpleNamespace(num_processes=1)
        assert not termination.requested(alone)
        os.kill(os.getpid(), signal.SIGTERM)
        assert termination.requested(alone)
    assert signal.getsignal(signal.SIGTERM) is former


@pytest.mark.parametrize("told", [0.0, 1.0, 2.0])
def test_several_processes_stop_when_any_of_them_was_told_to(told):
    several = SimpleNamespace(
        num_processes=2, device="cpu", reduce=lambda own, reduction: own + told if reduction == "sum" else None
    )
    assert Termination().requested(several) == (told > 0)
