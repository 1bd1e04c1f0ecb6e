"""The encoder of another run, to begin with (`--init-from`)."""

from __future__ import annotations

from quaclrs.errors import QuaclrsError
from quaclrs.models import QuaclrsModel
from quaclrs.saved_model import CONFIG, open_saved_model

from ..runs.config import model_folder_of


def load_encoder(encoder: QuaclrsModel, run: str) -> None:
    """Give an encoder the weights of another run's.

    Args:
        encoder: of the same backbone and front end; its picture may be of another size.
        run: a run's folder, or a folder that `save_pretrained` wrote.

    Raises:
        QuaclrsError: the model does not exist, or is of another kind.
    """
    folder = model_folder_of(run)
    if not (folder / CONFIG).is_file():
        raise QuaclrsError(f"--init-from {run} holds no model; give a finished run or a model folder")
    source = open_saved_model(folder, name=f"--init-from {run}").load(QuaclrsModel)
    if source.config.backbone != encoder.config.backbone:
        raise QuaclrsError(f"--init-from {run} is a {source.config.backbone}; pass --backbone {source.config.backbone}")
    for name, value in source.config.log_mel.items():
        if name != "image_size" and encoder.config.log_mel[name] != value:
            raise QuaclrsError(f"--init-from {run} was trained with {name} {value}; pass the same")
    encoder.backbone.load_state_dict(source.backbone.state_dict())
