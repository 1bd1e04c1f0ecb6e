"""A saved model's files, read as data and checked before any library sees them: nobody's code is run by loading.

Every command that takes a model comes through here. Of `config.json` only the options of our own configuration are
taken, never a class, a quantisation or a kernel that it names; weights are read from safetensors alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .default_model import DEFAULT_MODEL
from .errors import QuaclrsError, first_line_of
from .files import refuse_pointer
from .hub import may_be_repo_id
from .models.configuration_checks import (
    check_encoder,
    check_false_alarms,
    check_label_count,
    check_parts,
    check_rate,
    complete_encoders,
    labels_in_order,
)
from .models.configuration_log_mel import LogMelConfig
from .text_files import read_mapping

if TYPE_CHECKING:
    from .models import QuaclrsPreTrainedModel

    Model = TypeVar("Model", bound=QuaclrsPreTrainedModel)

#: How safetensors writes types of floating-point numbers.
FLOATS = ("F", "BF")

#: Files of a model: its options, those of its feature extractor, its weights, and a graph for ONNX Runtime.
CONFIG, PREPROCESSOR, WEIGHTS, GRAPH = "config.json", "preprocessor_config.json", "model.safetensors", "model.onnx"

#: What is fetched from the Hub.
_FILES = (CONFIG, PREPROCESSOR, WEIGHTS, GRAPH, "README.md", "LICENSE")

#: How NumPy calls the types of floating-point numbers that it knows; BF16 is the upper half of a float32.
_NUMPY_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}

#: Options of `config.json` that are taken; whatever else stands there is left alone.
_OPTIONS = (
    *("backbone", "log_mel", "image_mean", "image_std", "pooling", "patch_overlap", "tag_groups"),
    *("earlier_stages", "more_encoders", "standardize", "normalized_parts"),
    *("dropout", "drop_path_rate", "false_alarms", "training_data"),
    *("id2label", "label2id", "num_labels", "problem_type"),
)

#: Endings of files that hold weights as pickles, which can run code, or in formats that are not read.
_OTHER_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack", ".gguf", ".index.json")

_ADVICE = "give the model/ folder of a run or a Hub repository"


@dataclass(frozen=True)
class SavedModel:
    """A model on the disk.

    Attributes:
        name: what the user calls it.
        folder: where its files lie.
        options: arguments of `QuaclrsConfig`.
        tensors: name of a tensor -> its type, as safetensors writes it, and its shape, by the header of the weights.
    """

    name: str
    folder: Path
    options: dict[str, Any]
    tensors: dict[str, tuple[str, tuple[int, ...]]]

    @property
    def labels(self) -> list[str]:
        """Class names in the order of the logits; none of an encoder."""
        return labels_in_order(self.options["id2label"]) if self.options.get("id2label") else []

    @property
    def backbones(self) -> str:
        """Names of the networks, `+` between them."""
        more = self.options.get("more_encoders") or []
        return "+".join([self.options["backbone"], *(encoder["backbone"] for encoder in more)])

    @property
    def log_mel(self) -> LogMelConfig:
        """The front end of the (first) encoder."""
        return LogMelConfig.from_dict(self.options["log_mel"])

    def check_front_end(self) -> None:
        """Raise a `QuaclrsError` where `preprocessor_config.json` is missing, damaged or names another front end."""
        with _named(self.name):
            _refuse_absent(self.folder, PREPROCESSOR)
            values = read_mapping(self.folder / PREPROCESSOR, _ADVICE)
            of_extractor = LogMelConfig.from_dict(values.get("log_mel", {}))
        if of_extractor != self.log_mel:
            raise QuaclrsError(f"{self.name}: {PREPROCESSOR} and {CONFIG} differ in log_mel; save both anew")

    def arrays(self) -> dict[str, np.ndarray]:
        """Name -> weights as NumPy has them, in float32 whatever the file stores; integers are left out.

        Raises:
            QuaclrsError: the file is damaged, or its numbers are not finite, or of a type that NumPy lacks.
        """
        from safetensors import deserialize

        arrays = {}
        with _named(self.name):
            for name, entry in deserialize((self.folder / WEIGHTS).read_bytes()):
                if not entry["dtype"].startswith(FLOATS):
                    continue
                if entry["dtype"] not in _NUMPY_FLOATS:
                    raise ValueError(f"weights {name} are of type {entry['dtype']}; --backend torch may read them")
                stored = np.frombuffer(entry["data"], _NUMPY_FLOATS[entry["dtype"]]).reshape(entry["shape"])
                if entry["dtype"] == "BF16":
                    stored = (stored.astype("<u4") << 16).view("<f4")
                arrays[name] = stored.astype(np.float32, copy=False)
                if not np.isfinite(arrays[name]).all():
                    raise ValueError(f"the weights are damaged: {name} holds NaN or infinite numbers")
                if name.endswith("running_var") and arrays[name].min(initial=0) < 0:
                    raise ValueError(f"the weights are damaged: {name} holds negative variances")
        return arrays

    def load(self, model_class: type[Model]) -> Model:
        """The network, in float32 whatever the file stores: half precision is for disks, not for CPUs.

        Raises:
            QuaclrsError: weights are missing, of another shape, or no finite numbers.
        """
        import torch
        from safetensors.torch import load_file

        from .models import QuaclrsConfig

        with _named(self.name):
            config = QuaclrsConfig(**self.options)
            with torch.device("meta"):  # takes no memory, however large a network the configuration names
                wanted = model_class(config).state_dict()
            # An encoder's weights lie in a classifier under this prefix.
            prefix = f"{model_class.base_model_prefix}."
            stored = {name if name in wanted else name.removeprefix(prefix): name for name in self.tensors}
            for tensor, expected in wanted.items():
                if tensor not in stored:
                    raise ValueError(f"it lacks weights ({tensor} …): it is not a whole {model_class.__name__}")
                dtype, shape = self.tensors[stored[tensor]]
                if shape != tuple(expected.shape):
                    raise ValueError(f"weights {tensor} are {list(shape)}, by its options {list(expected.shape)}")
                if expected.is_floating_point() and not dtype.startswith(FLOATS):
                    raise ValueError(f"weights {tensor} are of type {dtype}; they must be floating-point numbers")
            found = load_file(self.folder / WEIGHTS)
            tensors = {name: found[stored[name]] for name in wanted}
            # From tensors, not from the folder, where adapters and other formats would be looked for too.
            with _without_bar():
                model = model_class.from_pretrained(None, config=config, state_dict=tensors, dtype=torch.float32)
        model.name_or_path = model.config.name_or_path = os.fspath(self.folder)
        return model


def open_saved_model(path_or_repo: str | os.PathLike[str] | None = None, name: str | None = None) -> SavedModel:
    """Find a model and check what its files say; weights are not read yet, but for their header.

    Args:
        path_or_repo: a folder that `save_pretrained` wrote, or `namespace/name` of the Hub; the package's own model
            where absent.
        name: what to call it in messages; as it was given where absent.

    Raises:
        QuaclrsError: the model does not exist, is not ours, its weights are not safetensors, or its options are
            impossible.
    """
    name = name or f"model {os.fspath(DEFAULT_MODEL if path_or_repo is None else path_or_repo)}"
    folder = find_model_folder(path_or_repo, name)
    with _named(name):
        _refuse_absent(folder, CONFIG)
        values = read_mapping(folder / CONFIG, _ADVICE)
        if "model_type" not in values and (folder / GRAPH).is_file():
            raise QuaclrsError(f"{name} is an export, which only ONNX Runtime runs; {_ADVICE}")
        options = _checked(values)
        tensors = _read_header(folder, name)
    return SavedModel(name, folder, options, tensors)


def find_model_folder(path_or_repo: str | os.PathLike[str] | None, name: str | None = None) -> Path:
    """The folder of a model, which is fetched from the Hub where it is a repository's; arguments as above.

    Raises:
        QuaclrsError: the folder or repository does not exist.
    """
    if path_or_repo is None and not (DEFAULT_MODEL / CONFIG).is_file():
        raise QuaclrsError("this installation holds no model of its own; give --model DIR_OR_REPO")
    given = os.fspath(DEFAULT_MODEL if path_or_repo is None else path_or_repo)
    if os.path.isdir(given):
        if not Path(given, CONFIG).is_file() and (Path(given, "model") / CONFIG).is_file():
            raise QuaclrsError(f"{given} holds no model itself; did you mean {Path(given, 'model')}?")
        return Path(given)
    if os.path.exists(given):
        raise QuaclrsError(f"model {given} is a file; {_ADVICE}")
    if not may_be_repo_id(given):
        raise QuaclrsError(f"model folder {given} does not exist; {_ADVICE}")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(given, allow_patterns=list(_FILES)))
    except Exception as error:  # the Hub's client fails in many ways
        raise QuaclrsError(
            f"{name or f'model {given}'} is no folder here, and cannot be fetched from the Hub "
            f"({first_line_of(error)}); {_ADVICE}"
        ) from error


def _refuse_absent(folder: Path, file: str) -> None:
    if not (folder / file).is_file():  # a pipe would be waited for
        raise ValueError(f"it has no {file}")


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """The options of `QuaclrsConfig` in a `config.json`."""
    if values.get("model_type") != "quaclrs":
        raise ValueError(f"it is of type {str(values.get('model_type'))[:40]!r}, not quaclrs")
    options = {name: value for name, value in values.items() if name in _OPTIONS and value is not None}
    options["log_mel"] = LogMelConfig.from_dict(options.get("log_mel", {})).to_dict()
    check_encoder(
        options.get("backbone"),
        options.get("image_mean"),
        options.get("image_std"),
        options.get("pooling", "mean"),
        options.get("patch_overlap", 0.0),
        options.get("tag_groups"),
        options.get("earlier_stages", 0),
    )
    complete_encoders(options.get("more_encoders"), options["log_mel"])
    check_parts(options.get("normalized_parts"))
    check_false_alarms(options.get("false_alarms"))
    for rate in ("dropout", "drop_path_rate"):
        check_rate(rate, options.get(rate))
    if "num_labels" in options:
        check_label_count(options["num_labels"])
    if "id2label" in options:
        labels = labels_in_order(options["id2label"], options.get("label2id"))
        if options.get("num_labels", len(labels)) != len(labels):
            raise ValueError(f"num_labels is {options['num_labels']}, and id2label has {len(labels)} classes")
    return options


def _read_header(folder: Path, name: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    from safetensors import SafetensorError, safe_open

    if not (folder / WEIGHTS).is_file():
        others = sorted(file.name for file in folder.iterdir() if file.name.endswith(_OTHER_WEIGHTS))
        if others:
            raise ValueError(
                f"its weights {others[0]} are not read, for such a file can hold code; where you trust whoever made "
                f"it, load it there and save it as {WEIGHTS} with save_pretrained"
            )
        raise ValueError(f"it has no {WEIGHTS}")
    refuse_pointer(folder / WEIGHTS)
    try:
        with safe_open(folder / WEIGHTS, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is not a mapping
            return {name: (str(part.get_dtype()), tuple(part.get_shape())) for name, part in slices.items()}
    except SafetensorError as error:
        raise QuaclrsError(
            f"{name} cannot be loaded: {WEIGHTS} is damaged or cut short ({first_line_of(error)}); copy it again"
        ) from error


@contextmanager
def _without_bar() -> Iterator[None]:
    """Keep Transformers from showing the progress of what takes no time."""
    from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

    shown = is_progress_bar_enabled()
    disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Make any error of the block one line that names the model."""
    try:
        yield
    except QuaclrsError:
        raise
    except Exception as error:  # files and tensors fail in many ways
        raise QuaclrsError(f"{name} cannot be loaded ({first_line_of(error)}); {_ADVICE}") from error
