"""A training run in progress, whatever it learns: seed, folder, checkpoints, history, trackers, end by a signal."""

from __future__ import annotations

import dataclasses
import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import DistributedType, ProjectConfiguration, broadcast_object_list, set_seed

from quaclrs.errors import QuaclrsError
from quaclrs.files import name_unwritable
from quaclrs.transforms import ClipTransform

from .checkpoints import load_last_checkpoint, refuse_other_processes, save_checkpoint
from .compilation import refuse_launchers_backend
from .config import TrainingConfig
from .folder import RunFolder, describe_environment
from .processes import end_where_another_died, join_processes, only_run_in
from .progress import EpochProgress, StepFigures
from .sampling import EpochSampler, step_seed
from .state import TrainingState
from .termination import Termination, end_with_launcher, ended_by_sigterm
from .trackers import check_tracker, finish_trackers

#: Kinds of launches whose processes each hold a part of the weights.
_SHARDED = {DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM}


class Step(Protocol):
    """One step of a method of training, `supervised/step.py` or `ssl/step.py`."""

    def begin_epoch(self) -> None:
        """Set networks to training mode."""

    def __call__(self, batch: dict[str, Any], epoch: int, number: int) -> StepFigures:
        """Learn from a batch, the step `number` of the epoch, from 0."""


@dataclass
class TrainingClips:
    """The training split as one epoch after another sees it.

    Attributes:
        loader: of batches; the one that `Accelerator.prepare` returned, once it has.
        sampler: of the loader.
        transform: of its clips, whose draws change with the epoch.
    """

    loader: Any
    sampler: EpochSampler
    transform: ClipTransform

    def begin(self, epoch: int, steps: int = 0) -> None:
        """Set order and draws of an epoch, which goes on after so many steps."""
        if steps:
            self.sampler.skip(epoch, steps * self.loader.total_batch_size)
        self.loader.set_epoch(epoch)
        self.transform.set_epoch(epoch)


def refuse_infinite(row: Mapping[str, Any]) -> None:
    """Raise a `QuaclrsError` where a loss of an epoch is NaN or infinite: nothing more can be learned.

    Args:
        row: `epoch` and figures of it.
    """
    for name, value in row.items():
        if name.endswith("loss") and not math.isfinite(value):
            raise QuaclrsError(
                f"epoch {row['epoch']}: {name} is {value}; lower --learning-rate, or set --max-grad-norm, and train "
                "anew"
            )


class Session:
    """One run in this process, or in this rank of several.

    The order of its calls: `begin` it, `claim` the folder, `open` it once everything is known to be right, `resume`;
    then, `with` its `termination`, for each of `epochs`: `train`, `record`, `save`; in the end `close`.

    Args:
        config: options of the run.

    Attributes:
        history: rows of the finished epochs, as `history.csv` has them.
        termination: with it SIGTERM or Ctrl-C has a checkpoint written before the run ends.

    Raises:
        QuaclrsError: the folder holds something that neither resume nor overwrite allows to touch, or the tracker is
            not installed. Nothing is loaded or written before.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.folder = RunFolder(config.output_dir)
        self.accelerator = Accelerator(
            mixed_precision=config.mixed_precision,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            log_with=check_tracker(config.report_to),
            dataloader_config=DataLoaderConfiguration(non_blocking=True),
            project_config=ProjectConfiguration(
                project_dir=str(self.folder.path), logging_dir=str(self.folder.path / "tracker")
            ),
        )
        if self.accelerator.distributed_type in _SHARDED:
            raise QuaclrsError("processes share out clips here, not weights; choose MULTI_GPU in accelerate config")
        refuse_launchers_backend(self.accelerator.state.dynamo_plugin.backend.value)
        set_seed(config.seed)
        self.folder.refuse_existing(self._resumes, config.overwrite)
        self.history: list[dict[str, Any]] = []
        self._policy: Any = None
        self._unfinished: dict[str, float] | None = None
        self._state: TrainingState | None = None
        self.termination = Termination(config.log_every)
        self._saved = time.monotonic()
        self._started = time.perf_counter()
        self._epoch_started = self._started

    @classmethod
    @contextmanager
    def begin(cls, config: TrainingConfig) -> Iterator[Session]:
        """The session of a run, whose folder nobody else writes until the block ends.

        A new run that ends before its first epoch or checkpoint leaves no folder, or the run that it was to overwrite.

        Raises:
            QuaclrsError: as of the class, or another run writes the folder.
            SystemExit: another process of the run died or hangs; its message is printed.
        """
        end_with_launcher()
        processes = join_processes(config.ddp_timeout)
        with only_run_in(config.output_dir, processes), end_where_another_died(processes), ended_by_sigterm():
            if processes.is_main_process:
                RunFolder(config.output_dir).recover(config.resume == "auto")
            processes.wait_for_everyone()
            session = cls(config)
            try:
                yield session
            except BaseException:
                with suppress(OSError):  # the first error is the one to tell
                    session.folder.withdraw()
                raise

    @property
    def _resumes(self) -> bool:
        return self.config.resume == "auto"

    @property
    def seconds(self) -> float:
        """Since the session began."""
        return time.perf_counter() - self._started

    def claim(self, policy: Any) -> None:
        """Raise a `QuaclrsError` where a run to be resumed began with other options, policy or number of processes.

        Args:
            policy: of the augmentation, as a mapping for `policy.yaml`; None without.
        """
        self._policy = policy
        if self._resumes:
            self.folder.refuse_other_run(self.config, policy)
            refuse_other_processes(self.folder.checkpoints, self.accelerator.num_processes)

    def open(self) -> None:
        """Make the run's folder with its options, environment and policy, and tell the tracker."""
        accelerator = self.accelerator
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            environment = describe_environment(
                accelerator.num_processes, accelerator.mixed_precision, accelerator.device.type
            )
            self.folder.open(self.config, environment, self._resumes)
            if self._policy is not None:
                self.folder.write_yaml("policy.yaml", self._policy)
        accelerator.wait_for_everyone()
        if self.config.report_to != "none":
            accelerator.init_trackers("quaclrs", config=dataclasses.asdict(self.config))

    def resume(self, state: TrainingState) -> None:
        """Go on from the newest checkpoint, if there is one, and save that state from now on.

        Raises:
            QuaclrsError: there are checkpoints, but none can be read.
        """
        self._state = state
        values = load_last_checkpoint(self.folder.checkpoints, state) if self._resumes else None
        if values is None:
            return
        self.history = values["history"]
        unfinished = values["unfinished"]
        self._unfinished = unfinished[self.accelerator.process_index] if unfinished else None
        last = self.history[-1]["epoch"] if self.history else 0
        after = f", step {self._unfinished['steps']}" if self._unfinished else ""
        self.accelerator.print(f"resuming after epoch {last}{after}")

    def epochs(self) -> Iterator[int]:
        """Numbers of the epochs that are left, from 1."""
        last = self.history[-1]["epoch"] if self.history else 0
        yield from range(last + 1, self.config.epochs + 1)

    def train(self, epoch: int, step: Step, clips: TrainingClips) -> EpochProgress:
        """Train an epoch, or the rest of it; it comes out the same whether or not it was interrupted.

        Nothing here makes the host wait for the device but the refreshing of the progress bar, and the question to
        several processes if one was told to end.

        Raises:
            SystemExit: SIGTERM or Ctrl-C came; a checkpoint was written first.
        """
        accelerator, config = self.accelerator, self.config
        begun, self._unfinished = self._unfinished, None
        self._epoch_started = time.perf_counter()
        clips.begin(epoch, int(begun["steps"]) if begun else 0)
        progress = EpochProgress(accelerator, f"epoch {epoch}/{config.epochs}", config.log_every, begun)
        step.begin_epoch()
        for batch in progress.watch(clips.loader):
            # Draws of the network, as dropout's, have no state to save.
            torch.manual_seed(step_seed(config.seed, epoch, progress.steps, accelerator.process_index))
            progress.add(step(batch, epoch, progress.steps))
            # Amid accumulated gradients nothing can be saved.
            may_ask = accelerator.sync_gradients and self.termination.is_due(accelerator)
            if may_ask and (told := self.termination.requested(accelerator)):
                self._save(epoch - 1, progress.totals(), progress.steps)
                self._stop(told)
        return progress

    def record(self, row: dict[str, Any]) -> None:
        """Add a finished epoch to the history, with the seconds since it began.

        Args:
            row: `epoch` and figures of it.

        Raises:
            QuaclrsError: as `refuse_infinite`.
        """
        refuse_infinite(row)
        self.history.append({**row, "seconds": time.perf_counter() - self._epoch_started})

    def save(self) -> None:
        """Log the epoch that was recorded last, save it if that is due, and end where a signal asked for it.

        Raises:
            SystemExit: SIGTERM or Ctrl-C came.
        """
        accelerator, row = self.accelerator, self.history[-1]
        accelerator.log({name: value for name, value in row.items() if name != "epoch"}, step=row["epoch"])
        if accelerator.is_main_process:
            self.folder.write_history(self.history)
        told = self.termination.requested(accelerator)
        if told or self._is_due(row["epoch"]):
            self._save(row["epoch"])
            told = told or self.termination.requested(accelerator)  # meanwhile
        elif accelerator.is_main_process:
            self.folder.keep()
        if told:
            self._stop(told)

    def close(self) -> None:
        """End the trackers and wait for the other processes."""
        finish_trackers(self.accelerator)
        self.accelerator.wait_for_everyone()

    def _is_due(self, epoch: int) -> bool:
        """True, in all processes, where the epoch is the last or the last checkpoint was written long enough ago."""
        if not self.config.checkpoint_seconds or epoch == self.config.epochs:
            return True
        due = [time.monotonic() - self._saved >= self.config.checkpoint_seconds]
        return bool(broadcast_object_list(due)[0])

    def _save(self, epochs: int, unfinished: Any = None, steps: int = 0) -> None:
        assert self._state is not None
        values = {"history": self.history, "unfinished": unfinished}
        folder = self.folder.checkpoints
        with name_unwritable(folder):
            save_checkpoint(folder, self._state, epochs, values, steps, keep=self.config.keep_checkpoints)
        if self.accelerator.is_main_process:
            self.folder.keep()
        self._saved = time.monotonic()

    def _stop(self, told: signal.Signals) -> None:
        self.accelerator.print(f"stopped by {told.name} after writing a checkpoint; go on with --resume auto")
        finish_trackers(self.accelerator)
        raise SystemExit(128 + told)  # as shells report it
