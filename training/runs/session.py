"""What every run has around its own learning: accelerator, seed, folder, resumption, epochs that SIGTERM may end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import ProjectConfiguration, set_seed

from quaclrs.transforms import ClipTransform

from ..clips.sampling import EpochSampler
from .checkpoints import (
    Termination,
    load_last_checkpoint,
    refuse_other_processes,
    save_checkpoint,
)
from .config import TrainingConfig
from .folder import RunFolder, describe_environment
from .progress import EpochProgress
from .trackers import check_tracker, finish_trackers

History = list[dict[str, Any]]


class Steps(Protocol):
    """What learns from the batches of an epoch and says after each whether the optimiser has made its step."""

    def steps(self, loader: Any, epoch: int, progress: EpochProgress) -> Iterator[bool]: ...


def build_accelerator(config: TrainingConfig) -> tuple[Accelerator, RunFolder]:
    """Seed everything, and refuse a folder that holds something else before anything is loaded.

    Raises:
        QuaclrsError: as `RunFolder.refuse_existing`, or the tracker is not installed.
    """
    run = RunFolder(config.output_dir)
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        log_with=check_tracker(config.report_to),
        dataloader_config=DataLoaderConfiguration(non_blocking=True),
        project_config=ProjectConfiguration(project_dir=str(run.path), logging_dir=str(run.path / "tracker")),
    )
    set_seed(config.seed)
    run.refuse_existing(config.resume == "auto", config.overwrite)
    return accelerator, run


def refuse_other_run(accelerator: Accelerator, run: RunFolder, config: TrainingConfig, policy: Any) -> None:
    """Raise a `QuaclrsError` where a run to be resumed began with other options, policy or number of processes."""
    if config.resume == "auto":
        run.refuse_other_run(config, policy)
        refuse_other_processes(run.checkpoints, accelerator.num_processes)


def open_run(accelerator: Accelerator, run: RunFolder, config: TrainingConfig, policy: Any) -> None:
    """Make the run's folder with its options, environment and policy, and tell the tracker."""
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        environment = describe_environment(
            accelerator.num_processes, accelerator.mixed_precision, accelerator.device.type
        )
        run.open(config, environment, config.resume == "auto")
        if policy is not None:
            run.write_yaml("policy.yaml", policy)
    accelerator.wait_for_everyone()
    if config.report_to != "none":
        accelerator.init_trackers("quaclrs", config=dataclasses.asdict(config))


def resume_run(accelerator: Accelerator, run: RunFolder, config: TrainingConfig) -> tuple[History, Any]:
    """The history of the newest checkpoint, whose state is restored, and the sums of its unfinished epoch, or None."""
    state = load_last_checkpoint(accelerator, run.checkpoints) if config.resume == "auto" else None
    if state is None:
        return [], None
    history = state["history"]
    unfinished = state["unfinished"][accelerator.process_index] if state["unfinished"] else None
    last = history[-1]["epoch"] if history else 0
    accelerator.print(f"resuming after epoch {last}" + (f", step {unfinished['steps']}" if unfinished else ""))
    return history, unfinished


@dataclasses.dataclass
class Epochs:
    """Runs epochs of training, each the same whether or not it was interrupted.

    Attributes:
        accelerator, run, config: of the run.
        learner: what makes the steps.
        loader: prepared, of the training clips.
        sampler, transform: of that loader.
        unfinished: sums of an epoch to go on with, of `resume_run`; None at its beginning.
    """

    accelerator: Accelerator
    run: RunFolder
    config: TrainingConfig
    learner: Steps
    loader: Any
    sampler: EpochSampler
    transform: ClipTransform
    unfinished: dict[str, float] | None

    def train(self, epoch: int, history: History, termination: Termination) -> EpochProgress:
        """Train one epoch, or the rest of it.

        Raises:
            SystemExit: SIGTERM came; a checkpoint was written first.
        """
        accelerator, config = self.accelerator, self.config
        begun, self.unfinished = self.unfinished, None
        if begun:
            clips_a_step = self.loader.total_batch_size
            self.sampler.skip(epoch, int(begun["steps"]) * clips_a_step)
        self.loader.set_epoch(epoch)
        self.transform.set_epoch(epoch)
        progress = EpochProgress(accelerator, f"epoch {epoch}/{config.epochs}", config.log_every, begun)
        for stepped in self.learner.steps(self.loader, epoch, progress):
            # Asking costs several processes a round of messages; between two steps there is nothing to save.
            may_ask = stepped and (accelerator.num_processes == 1 or progress.at_refresh)
            if may_ask and termination.requested(accelerator):
                state = {"history": history, "unfinished": progress.totals()}
                keep = config.keep_checkpoints
                save_checkpoint(accelerator, self.run.checkpoints, epoch - 1, state, progress.steps, keep)
                stop_for_sigterm(accelerator)
        return progress

    def finish(self, epoch: int, history: History, termination: Termination) -> None:
        """Log and save a finished epoch, the last row of the history; then end where SIGTERM asked for it."""
        accelerator = self.accelerator
        accelerator.log({name: value for name, value in history[-1].items() if name != "epoch"}, step=epoch)
        if accelerator.is_main_process:
            self.run.write_history(history)
        state = {"history": history, "unfinished": None}
        save_checkpoint(accelerator, self.run.checkpoints, epoch, state, keep=self.config.keep_checkpoints)
        if termination.requested(accelerator):
            stop_for_sigterm(accelerator)


def stop_for_sigterm(accelerator: Accelerator) -> None:
    accelerator.print("stopped by SIGTERM after writing a checkpoint; go on with --resume auto")
    finish_trackers(accelerator)
    raise SystemExit(143)  # 128 + SIGTERM, as shells report it
