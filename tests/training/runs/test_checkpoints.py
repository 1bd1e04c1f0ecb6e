"""Checkpoints on disk: which stay, which count, what damage does, and what a run leaves that dies while it writes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch.optim.lr_scheduler import LambdaLR

from quaclrs.errors import QuaclrsError, QuaclrsWarning
from training.runs.checkpoints import list_checkpoints, load_last_checkpoint, refuse_other_processes, save_checkpoint
from training.runs.state import TrainingState
from training.supervised.trainable import EmbeddingClassifier

FILES = ("model.safetensors", "optimizer.safetensors", "best.safetensors", "trainer_state.json", "SHA256SUMS")


class Killed(BaseException):
    """Stands for the end of the process: no `except Exception` sees it."""


class SmallRun:
    """A network of seven numbers whose training has a momentum, a schedule and best weights."""

    def __init__(self, optimizer: Callable = torch.optim.Adam) -> None:
        self.accelerator = Accelerator()
        torch.manual_seed(0)
        self.network = torch.nn.Sequential(torch.nn.Conv2d(2, 1, (1, 2)), torch.nn.BatchNorm2d(1))
        self.network.to(memory_format=torch.channels_last)
        self.optimizer = self.accelerator.prepare(optimizer(self.network.parameters(), lr=0.1))
        self.schedule = LambdaLR(self.optimizer, lambda step: 0.9**step)
        modules, optimizers = {"model": self.network}, {"optimizer": self.optimizer}
        self.state = TrainingState(self.accelerator, modules, optimizers, self.schedule, self.network)

    def step(self) -> None:
        clips = torch.arange(24.0).reshape(3, 2, 2, 2).square()
        self.network(clips).abs().sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()

    @property
    def weight(self) -> float:
        return self.network[0].weight.flatten()[0].item()


def save(folder: Path, epochs: int, steps: int = 0, keep: int = 2) -> None:
    """A checkpoint whose first weight is the number of its epochs, with a thousandth a step."""
    run = SmallRun()
    with torch.no_grad():
        run.network[0].weight.fill_(epochs + steps / 1000)
    run.state.keep_best()
    save_checkpoint(folder, run.state, epochs, values(epochs), steps, keep)


def values(epochs: int) -> dict:
    return {"history": [{"epoch": epochs, "validation_accuracy": 0.5}], "unfinished": None}


def load(folder: Path) -> float | None:
    """The first weight of the checkpoint that is restored; None where there is none."""
    run = SmallRun()
    return None if load_last_checkpoint(folder, run.state) is None else run.weight


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path


@pytest.fixture(scope="module")
def three_saved(tmp_path_factory) -> Path:
    """Checkpoints of three epochs; do not write into it."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for epochs in (1, 2, 3):
        save(folder, epochs, keep=9)
    return folder


@pytest.fixture
def saved(three_saved, tmp_path) -> Path:
    """A copy of them, to be spoilt."""
    return Path(shutil.copytree(three_saved, tmp_path / "checkpoints"))


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


def test_the_newest_checkpoint_is_restored_with_its_values(folder):
    assert load(folder) is None
    save(folder, 1)
    save(folder, 1, steps=12)
    run = SmallRun()
    found = load_last_checkpoint(folder, run.state)
    assert (found["history"], found["unfinished"]) == (values(1)["history"], None)
    assert run.weight == pytest.approx(1.012)
    assert run.state.best["0.weight"].flatten()[0].item() == pytest.approx(1.012)


def test_a_checkpoint_that_was_not_written_to_its_end_is_not_restored_and_gives_way_to_the_next(folder, monkeypatch):
    save(folder, 1)

    def write_and_die(state, unfinished, values):
        unfinished.mkdir()
        (unfinished / "model.safetensors").write_bytes(b"half")
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(TrainingState, "write", write_and_die)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)  # nobody tidies up after SIGKILL
        save(folder, 2)
    (left,) = names(folder) - {"epoch-0001"}
    assert left.startswith(".epoch-0002.")
    assert load(folder) == 1
    assert names(folder) == {"epoch-0001"}
    save(folder, 2)
    assert names(folder) == {"epoch-0001", "epoch-0002"}


def test_a_checkpoint_that_was_half_deleted_is_not_taken_for_a_complete_one(folder, monkeypatch):
    save(folder, 1)
    rmtree = shutil.rmtree

    def delete_the_weights_and_die(path, **options):
        if "epoch-0001" not in Path(path).name:
            return rmtree(path, **options)
        (Path(path) / "model.safetensors").unlink()
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(shutil, "rmtree", delete_the_weights_and_die)
        save(folder, 2, keep=1)
    assert names(folder) == {".epoch-0001.old", "epoch-0002"}
    assert load(folder) == 2
    assert names(folder) == {"epoch-0002"}


def test_other_things_in_the_folder_are_neither_checkpoints_nor_deleted(folder):
    (folder / "epoch-0007").mkdir()  # copied by hand, without its state
    (folder / "epoch-0003-of-the-thesis").mkdir()
    (folder / ".notes").mkdir()
    for epochs in (1, 2, 3):
        save(folder, epochs, keep=1)
    assert names(folder) == {"epoch-0003", "epoch-0007", "epoch-0003-of-the-thesis", ".notes"}


@pytest.mark.parametrize(
    "optimizer", [torch.optim.Adam, torch.optim.AdamW, lambda *a, **k: torch.optim.SGD(*a, **k, momentum=0.9)]
)
def test_training_goes_on_from_a_checkpoint_to_the_same_weights(folder, optimizer):
    whole, parted = SmallRun(optimizer), SmallRun(optimizer)
    for _ in range(6):
        whole.step()
    for _ in range(3):
        parted.step()
    parted.state.keep_best()
    save_checkpoint(folder, parted.state, 0, {"history": [], "unfinished": None}, steps=3)
    # Without history there are no best weights to miss.
    resumed = SmallRun(optimizer)
    resumed.state.chosen = parted.state.chosen = None
    parted.state.best = None
    save_checkpoint(folder, parted.state, 0, {"history": [], "unfinished": None}, steps=4)
    load_last_checkpoint(folder, resumed.state)
    for _ in range(3):
        resumed.step()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    assert not torch.equal(whole.network[0].weight, parted.network[0].weight)
    assert whole.schedule.get_last_lr() == resumed.schedule.get_last_lr()
    (momentum, *_) = [t for t in resumed.optimizer.state[resumed.network[0].weight].values() if t.dim() == 4]
    assert momentum.is_contiguous(memory_format=torch.channels_last)


def test_every_generator_goes_on_where_it_was(folder):
    save(folder, 1)
    run = SmallRun()
    random.random(), np.random.rand(), torch.rand(1)
    run.state.keep_best()
    save_checkpoint(folder, run.state, 2, values(2))
    drawn = random.random(), np.random.rand(), torch.rand(1).item(), random.gauss(0, 1), np.random.randn()
    load_last_checkpoint(folder, run.state)
    assert drawn == (random.random(), np.random.rand(), torch.rand(1).item(), random.gauss(0, 1), np.random.randn())


def cut_off(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    file.write_bytes(content)


def lie_about_the_header(file: Path) -> None:
    file.write_bytes(struct.pack("<Q", 1 << 60) + file.read_bytes()[8:])


def nest_deeply(file: Path) -> None:
    file.write_text("[" * 100_000)


DAMAGES = [Path.unlink, lambda file: file.write_bytes(b""), cut_off, flip_a_bit, lie_about_the_header, nest_deeply]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_told_and_set_aside_and_the_one_before_is_restored(saved, name, damage):
    damage(saved / "epoch-0003" / name)
    with pytest.warns(QuaclrsWarning, match=r"epoch-0003 cannot be used: .*") as told:
        assert load(saved) == 2
    assert [str(warning.message).count("\n") for warning in told] == [0]
    assert names(saved) == {"epoch-0001", "epoch-0002", "epoch-0003.damaged"}


def test_what_is_wrong_with_a_checkpoint_is_told_by_the_name_of_its_file(saved):
    cut_off(saved / "epoch-0003" / "SHA256SUMS")
    (saved / "epoch-0002" / "best.safetensors").write_bytes(b"no tensors")
    resign(saved / "epoch-0002")
    with (
        pytest.warns(QuaclrsWarning, match="epoch-0003 cannot be used: SHA256SUMS is damaged"),
        pytest.warns(QuaclrsWarning, match=r"epoch-0002 cannot be used: best\.safetensors holds no tensors"),
    ):
        assert load(saved) == 1


@pytest.mark.filterwarnings("ignore::quaclrs.errors.QuaclrsWarning")
def test_a_damaged_checkpoint_does_not_count_among_those_that_stay(saved):
    cut_off(saved / "epoch-0003" / "model.safetensors")
    load(saved)
    save(saved, 2, steps=3, keep=1)
    assert names(saved) == {"epoch-0002-step-000003", "epoch-0003.damaged"}
    save(saved, 3, keep=1)
    assert names(saved) == {"epoch-0003", "epoch-0003.damaged"}
    assert load(saved) == 3


@pytest.mark.filterwarnings("ignore::quaclrs.errors.QuaclrsWarning")
def test_where_no_checkpoint_is_whole_the_run_does_not_begin_anew(saved):
    for epochs in (1, 2, 3):
        cut_off(saved / f"epoch-{epochs:04d}" / "model.safetensors")
    with pytest.raises(QuaclrsError, match=r"none of the checkpoints in .* can be used; .*--overwrite"):
        load(saved)
    assert names(saved) == {"epoch-0001", "epoch-0002", "epoch-0003"}


def resign(checkpoint: Path, change: Callable[[dict], None] = lambda state: None) -> None:
    """Make the digests of a forged checkpoint true again, as whoever forges it can."""
    file = checkpoint / "trainer_state.json"
    state = json.loads(file.read_text())
    change(state)
    file.write_text(json.dumps(state))
    files = [path for path in checkpoint.iterdir() if path.name != "SHA256SUMS"]
    sums = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (checkpoint / "SHA256SUMS").write_text(sums)


@pytest.mark.parametrize(
    "forged",
    [
        {"0.weight": torch.zeros(1, 2, 2, 1)},
        {"0.weight": torch.full((1, 2, 1, 2), math.nan)},
        {"0.bias": torch.zeros(1, dtype=torch.float16)},
        {"2.weight": torch.zeros(1)},
        {"0.bias": None},
    ],
)
def test_weights_of_another_shape_type_or_name_or_that_are_no_numbers_are_refused(saved, forged):
    file = saved / "epoch-0003" / "model.safetensors"
    tensors = {name: tensor for name, tensor in {**load_file(file), **forged}.items() if tensor is not None}
    save_file(tensors, file)
    resign(saved / "epoch-0003")
    with pytest.warns(QuaclrsWarning, match="epoch-0003 cannot be used: model.safetensors"):
        assert load(saved) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["optimizers"]["optimizer"][0].update(lr="0.1"),
        lambda state: state["optimizers"]["optimizer"][0].update(weight_decay=True),
        lambda state: state["optimizers"]["optimizer"].clear(),
        lambda state: state["schedule"].update(step=1),
        lambda state: state["schedule"].pop("last_epoch"),
        lambda state: state["random"][0]["python"].__setitem__(1, [0]),
        lambda state: state["random"][0].update(torch="00"),
        lambda state: state["random"][0]["numpy"]["state"].update(key=[1]),
        lambda state: state["random"][0]["numpy"]["state"].update(pos=10**6),
        lambda state: state.update(history={}),
        lambda state: state.update(history=["epoch"]),
        lambda state: state.update(unfinished=3),
        lambda state: state.update(unfinished=[{}, {}]),
        lambda state: state.pop("schedule"),
    ],
)
def test_a_state_of_another_form_is_refused(saved, change):
    resign(saved / "epoch-0003", change)
    with pytest.warns(QuaclrsWarning, match="epoch-0003 cannot be used: "):
        assert load(saved) == 2


class Evil:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self):
        return Path.touch, (self._file,)


@pytest.mark.parametrize(
    "name",
    ["custom_checkpoint_0.pkl", "random_states_0.pkl", "optimizer.bin", "scheduler.bin", "scaler.pt", *FILES],
)
@pytest.mark.parametrize("dump", [pickle.dumps, None])
def test_no_pickle_is_ever_loaded(saved, tmp_path_factory, name, dump):
    ran = tmp_path_factory.mktemp("evil") / "ran"
    if dump:
        (saved / "epoch-0003" / name).write_bytes(dump(Evil(ran)))
    else:
        torch.save(Evil(ran), saved / "epoch-0003" / name)
    with pytest.warns(QuaclrsWarning, match="epoch-0003 cannot be used: "):
        assert load(saved) == 2
    assert not ran.exists()


def test_an_epoch_that_several_processes_began_is_refused_also_behind_a_damaged_checkpoint(folder):
    save(folder, 1)
    for name, unfinished in (("epoch-0001-step-000004", [{}, {}]), ("epoch-0002", None)):
        (folder / name).mkdir()
        (folder / name / "trainer_state.json").write_text(json.dumps({"history": [], "unfinished": unfinished}))
    refuse_other_processes(folder, 1)  # the newest is of a whole epoch
    cut_off(folder / "epoch-0002" / "trainer_state.json")
    refuse_other_processes(folder, 2)
    with pytest.raises(QuaclrsError, match="amid an epoch with 2 processes; resume with as many"):
        refuse_other_processes(folder, 1)


def test_all_processes_take_the_same_checkpoint(saved, monkeypatch):
    """One that reads the newest goes back with another that cannot."""
    run, answers = SmallRun(), iter([1.0, 2.0])
    several = SimpleNamespace(
        is_main_process=True, num_processes=2, process_index=0, device=torch.device("cpu"), scaler=None, step=0,
        reduce=lambda own, reduction: torch.tensor(next(answers)),
    )  # fmt: skip
    run.state.accelerator = several
    with pytest.warns(QuaclrsWarning, match="epoch-0003 cannot be used: another process cannot read it"):
        assert load_last_checkpoint(saved, run.state)["history"][0]["epoch"] == 2
    assert run.weight == 2


def test_a_probe_that_is_not_to_hear_a_dimension_goes_on(tmp_path):
    """It divides that dimension by infinity. In a network that does not, infinity is damage."""

    def state(scale: float) -> TrainingState:
        torch.manual_seed(0)
        probe = EmbeddingClassifier(torch.nn.Linear(2, 2), torch.randn(9, 2), torch.tensor([1.0, scale]))
        accelerator = Accelerator()
        optimizer = accelerator.prepare(torch.optim.SGD(probe.parameters(), lr=0.1))
        schedule = LambdaLR(optimizer, lambda step: 1.0)
        return TrainingState(accelerator, {"model": probe}, {"optimizer": optimizer}, schedule)

    save_checkpoint(tmp_path, state(0.0), 1, values(1))
    assert load_last_checkpoint(tmp_path, state(0.0)) is not None
    with pytest.warns(QuaclrsWarning, match="numbers in deviation that are none"), pytest.raises(QuaclrsError):
        load_last_checkpoint(tmp_path, state(1.0))
