"""Trackers beside `history.csv`: TensorBoard and Trackio work without a network, Weights & Biases with its account."""

from __future__ import annotations

from importlib.util import find_spec

from quaclrs.errors import QuaclrsError

#: Packages of which one must be there.
_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX"), "trackio": ("trackio",), "wandb": ("wandb",)}


def check_tracker(name: str) -> str | None:
    """What `Accelerator(log_with=...)` takes: the tracker, or None for `none`.

    Raises:
        QuaclrsError: its package is not installed.
    """
    if name == "none":
        return None
    if not any(find_spec(package) for package in _PACKAGES[name]):
        raise QuaclrsError(f"--report-to {name}: the package is not installed; pip install {name}, or --report-to none")
    return name
