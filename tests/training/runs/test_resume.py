"""A run that was killed and resumed equals, byte for byte, one that was never interrupted."""

from __future__ import annotations

import csv
import json
import random
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from launching import launch, without_times

from quaclrs.errors import QuaclrsError
from training.runs.termination import Termination
from training.supervised.config import SupervisedConfig
from training.train_supervised import train

KILLED_RUN = str(Path(__file__).with_name("killed_run.py"))
EPOCHS = 3
STEPS = 5  # an epoch: four clips of each of 13 classes, ten clips a step of all processes together, two left over

#: Columns of `history.csv` that a clock wrote.
MEASURED_COLUMNS = {"seconds", "train_seconds", "clips_per_second", "data_wait"}


def options_for(processes: int) -> dict[str, Any]:
    """All that has a state or draws: averaged weights, dropout (RepGhostNet's), augmentation, a schedule.

    An odd number of steps, so that accumulated gradients are cut short by the end of an epoch.
    """
    return {
        "test_fold": 2,
        "backbone": "repghostnet_050",
        "image_size": 32,
        "epochs": EPOCHS,
        "batch_size": 10 // processes,
        "max_clips_per_class": 4,
        "learning_rate": 3e-3,
        "ema_decay": 0.5,
        "gradient_accumulation_steps": 2,
        "max_grad_norm": 1.0,
        "log_every": 1,
        **({"mixup_alpha": 0.3} if processes == 1 else {}),
    }


def arguments_for(dataset: Path, folder: Path, processes: int, workers: int = 0) -> list[str]:
    options = {"dataset": dataset, "output_dir": folder, "num_workers": workers, **options_for(processes)}
    return [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture(scope="module")
def uninterrupted(small_sample, tmp_path_factory):
    """The folder of a finished run of so many processes, trained when it is first asked for."""
    finished: dict[int, Path] = {}

    def folder_of(processes: int) -> Path:
        if processes not in finished:
            folder = tmp_path_factory.mktemp("uninterrupted") / "run"
            arguments = arguments_for(small_sample, folder, processes)
            (left,), printed = launch_again_and_again(arguments, [None], processes)
            assert left.status == 0, printed[-2000:]
            finished[processes] = folder
        return finished[processes]

    return folder_of


class Left(NamedTuple):
    """What a launch left behind: its exit status, negative for a signal, and the names in `checkpoints`."""

    status: int
    names: set[str]

    @property
    def newest(self) -> str:
        """The newest complete checkpoint; empty where there is none."""
        return max((name for name in self.names if name.startswith("epoch-")), default="")


def launch_again_and_again(
    arguments: list[str], kills: list[dict[str, Any] | None], processes: int
) -> tuple[list[Left], str]:
    """Launch with `--resume auto` once for every kill (None: to the end); what each left, and all that they printed."""
    environment = {"KILLS": json.dumps(kills), "PROCESSES": str(processes)}
    result = launch([*arguments, "--resume", "auto"], 1, KILLED_RUN, environment)
    told = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{"status"')]
    return [Left(line["status"], set(line["left"])) for line in told], result.stdout + result.stderr


def assert_same_results(folder: Path, reference: Path) -> None:
    # The best epoch may be an early one: the weights after the last step are compared as well.
    last = f"checkpoints/epoch-{EPOCHS:04d}/model.safetensors"
    best = f"checkpoints/epoch-{EPOCHS:04d}/best.safetensors"
    for name in (last, best, "model/model.safetensors", "predictions.csv"):
        assert (folder / name).read_bytes() == (reference / name).read_bytes(), name
    history, expected = (
        [
            {column: text for column, text in row.items() if column not in MEASURED_COLUMNS}
            for row in csv.DictReader((run / "history.csv").open())
        ]
        for run in (folder, reference)
    )
    assert history == expected
    metrics, expected = (without_times(json.loads((run / "metrics.json").read_text())) for run in (folder, reference))
    assert metrics == expected


def draw_kills(seed: int, processes: int) -> list[tuple[dict[str, Any], int]]:
    """Five kills, three after a step and two while a checkpoint is written, each with the epochs that are safe then.

    Each comes within two epochs of the resumption before it, so that they are spread over the run.
    """
    generator = random.Random(seed)
    moments = ["step", "step", "step", "file", "folder"]
    generator.shuffle(moments)
    kills, safe = [], 0
    for moment in moments:
        most = min(2, EPOCHS - safe)
        count = generator.randint(1, most * STEPS if moment == "step" else most)
        # The last step of an epoch comes before its checkpoint.
        safe += (count - 1) // STEPS if moment == "step" else count - 1
        rank = generator.randrange(processes) if moment == "step" else 0
        kill = {"moment": moment, "count": count, "rank": rank, "signal": "SIGKILL"}
        kills.append((kill, safe))
    return kills


@pytest.mark.parametrize(
    ("processes", "workers"),
    [
        (1, 0),
        *(pytest.param(*numbers, marks=pytest.mark.weekly) for numbers in ((1, 2), (2, 0), (2, 2))),
    ],
)
def test_a_run_killed_five_times_equals_one_never_interrupted(
    uninterrupted, small_sample, tmp_path, processes, workers
):
    kills = draw_kills(seed=10 * processes + workers, processes=processes)
    folder = tmp_path / "run"
    arguments = arguments_for(small_sample, folder, processes, workers)
    left, printed = launch_again_and_again(arguments, [*(kill for kill, _ in kills), None], processes)
    assert [launch.status for launch in left] == [-9] * 5 + [0], printed[-3000:]
    for (kill, safe), after in zip(kills, left, strict=False):
        assert after.newest == (f"epoch-{safe:04d}" if safe else ""), kill
        unfinished = any(name.startswith(f".epoch-{safe + 1:04d}.") for name in after.names)
        assert unfinished == (kill["moment"] != "step"), kill
    assert left[-1].names == {f"epoch-{EPOCHS - 1:04d}", f"epoch-{EPOCHS:04d}"}
    assert_same_results(folder, uninterrupted(processes))


def test_sigterm_and_ctrl_c_save_amid_an_epoch_and_the_resumed_run_equals_one_never_interrupted(
    uninterrupted, small_sample, tmp_path
):
    """They come to the whole group, the processes that decode among it."""
    folder = tmp_path / "run"
    kills = [
        # In the middle of accumulating gradients: the run goes on to the fourth step of its second epoch.
        {"moment": "step", "count": STEPS + 3, "rank": 0, "signal": "SIGTERM", "group": True},
        # After the last step of that epoch, before its checkpoint: back to the middle once more.
        {"moment": "step", "count": 1, "rank": 0, "signal": "SIGKILL"},
        {"moment": "step", "count": 2, "rank": 0, "signal": "SIGINT", "group": True},
        None,
    ]
    left, printed = launch_again_and_again(arguments_for(small_sample, folder, 1, workers=2), kills, 1)
    assert [launch.status for launch in left] == [128 + 15, -9, 128 + 2, 0], printed[-3000:]
    assert left[0].names == left[1].names == {"epoch-0001", "epoch-0001-step-000004"}
    assert left[2].names == {"epoch-0002", "epoch-0002-step-000002"}
    assert printed.count("stopped by SIGTERM after writing a checkpoint; go on with --resume auto") == 1
    assert printed.count("stopped by SIGINT after writing a checkpoint; go on with --resume auto") == 1
    assert printed.count("resuming after epoch 1, step 4") == 2
    assert "Traceback" not in printed
    assert_same_results(folder, uninterrupted(1))


@pytest.mark.weekly
def test_sigterm_to_one_of_two_processes_stops_both_at_the_same_step(uninterrupted, small_sample, tmp_path):
    folder = tmp_path / "run"
    arguments = arguments_for(small_sample, folder, 2)
    kill = {"moment": "step", "count": STEPS + 3, "rank": 1, "signal": "SIGTERM"}
    (left,), printed = launch_again_and_again(arguments, [kill], 2)
    assert left.status != 0
    assert left.names == {"epoch-0001", "epoch-0001-step-000004"}, printed[-3000:]
    state = json.loads((folder / "checkpoints" / left.newest / "trainer_state.json").read_text())
    assert [totals["steps"] for totals in state["unfinished"]] == [4, 4]
    # With one process the epoch could not go on where it stopped.
    alone = launch([*arguments, "--resume", "auto"], processes=1)
    assert alone.returncode == 2
    assert alone.stderr.count("error: ") == 1
    assert "with 2 processes; resume with as many" in alone.stderr
    (finished,), printed = launch_again_and_again(arguments, [None], 2)
    assert finished.status == 0, printed[-3000:]
    assert_same_results(folder, uninterrupted(2))


def test_an_epoch_that_two_processes_began_is_not_resumed_with_one(small_sample, tmp_path, monkeypatch):
    options = {"dataset": str(small_sample), "output_dir": str(tmp_path / "run"), **options_for(1)}
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Termination, "requested", lambda termination, accelerator: signal.SIGTERM)
        train(SupervisedConfig(**options))
    state_file = tmp_path / "run" / "checkpoints" / "epoch-0000-step-000002" / "trainer_state.json"
    state = json.loads(state_file.read_text())
    state_file.write_text(json.dumps({**state, "unfinished": state["unfinished"] * 2}))
    with pytest.raises(QuaclrsError, match="amid an epoch with 2 processes; resume with as many") as error:
        train(SupervisedConfig(**options, resume="auto"))
    assert "\n" not in str(error.value)
