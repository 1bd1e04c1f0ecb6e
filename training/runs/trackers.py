"""Trackers beside `history.csv`: TensorBoard and Trackio work without a network, Weights & Biases with its account."""

from __future__ import annotations

from importlib.util import find_spec

from accelerate import Accelerator

from quaclrs.errors import QuaclrsError

#: Packages of which one must be there.
_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",), "wandb": ("wandb",)}


def check_tracker(name: str) -> str | None:
    """The tracker as `Accelerator(log_with=...)` takes it: None for `none`.

    Raises:
        QuaclrsError: its package is not installed.
    """
    if name == "none":
        return None
    if not any(find_spec(package) for package in _PACKAGES[name]):
        raise QuaclrsError(f"--report-to {name}: the package is not installed; pip install {name}, or --report-to none")
    return name


def finish_trackers(accelerator: Accelerator) -> None:
    """Let trackers write what they hold. `Accelerator.end_training` would end the process group too, and no other run
    could follow in these processes."""
    for tracker in accelerator.trackers:
        tracker.finish()
