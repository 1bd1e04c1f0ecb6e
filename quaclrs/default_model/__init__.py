"""The model that comes with the package: weights, configuration, card and a licence of their own beside this file."""

from pathlib import Path

#: Folder of the model, as `save_pretrained` writes it.
DEFAULT_MODEL = Path(__file__).parent

#: What results call it.
PACKAGED = "the model in the package"
