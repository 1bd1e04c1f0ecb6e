"""The encoder of another run, to begin with (`--init-from`)."""

from __future__ import annotations

from typing import Any

import torch

from quaclrs.errors import QuaclrsError, first_line_of
from quaclrs.models import QuaclrsModel

from ..runs.config import model_folder_of


def load_encoder(encoder: QuaclrsModel, run: str) -> None:
    """Give an encoder the weights of another run's.

    Args:
        encoder: of the same backbone and front end; its picture may be of another size.
        run: a run's folder, or a folder that `save_pretrained` wrote.

    Raises:
        QuaclrsError: there is no such model, or it is of another kind.
    """
    folder = model_folder_of(run)
    if not (folder / "config.json").is_file():
        raise QuaclrsError(f"--init-from {run} holds no model; give a finished run or a model folder")
    try:
        loaded: Any = QuaclrsModel.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True, use_safetensors=True
        )
    except Exception as error:  # files, JSON and tensors fail in many ways
        raise QuaclrsError(f"--init-from {run} cannot be loaded ({first_line_of(error)})") from error
    source, loading = loaded
    if source.config.backbone != encoder.config.backbone:
        raise QuaclrsError(f"--init-from {run} is a {source.config.backbone}; pass --backbone {source.config.backbone}")
    if loading["missing_keys"]:
        raise QuaclrsError(f"--init-from {run} lacks weights ({min(loading['missing_keys'])} …); give a whole model")
    for name, value in source.config.log_mel.items():
        if name != "image_size" and encoder.config.log_mel[name] != value:
            raise QuaclrsError(f"--init-from {run} was trained with {name} {value}; pass the same")
    encoder.backbone.load_state_dict(source.backbone.state_dict())
