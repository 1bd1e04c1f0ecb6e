"""Options that supervised and self-supervised training share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from quaclrs.errors import QuaclrsError
from quaclrs.folds import PROTOCOLS, FoldProtocol
from quaclrs.models import PAD_MODES, BackboneError, find_backbone
from quaclrs.text_files import read_mapping

from .options import check_options, option, refuse_missing

PLATEAU = "reduce_lr_on_plateau"
STEP = "step"
SCHEDULES = ("cosine", "linear", "polynomial", "constant", STEP, PLATEAU)
COMPILERS = ("inductor", "aot_eager", "eager")
TRACKERS = ("none", "tensorboard", "trackio", "wandb")
ALL_RECORDINGS = "all"

#: Rows of every class in every fold in the runs of the paper's authors (section 3: 58,000 in all).
PAPER_FILL = 449


@dataclass
class TrainingConfig:
    """Options of every training run: data, network, optimiser, and how it runs."""

    #: Options without which nothing can begin, and the module that trains by them.
    required: ClassVar[tuple[str, ...]] = ("dataset", "test_fold", "output_dir")
    module: ClassVar[str]

    dataset: str = option("", "folder that the builder wrote, or a Hub repository")
    test_fold: int = option(0, "fold to test on; the complete fold before it validates", at_least=0)
    output_dir: str = option("", "new folder for the run")
    protocol: FoldProtocol = option(
        "strict", "strict: no recording in two splits; paper: as the paper dealt, optimistic", PROTOCOLS
    )
    fill_per_fold: int | None = option(
        None,
        "with --protocol paper: rows of every class in every fold, filled up by augmented copies, in all three splits "
        "(449, as the paper's authors, where absent); self-supervised views are drawn of the originals; 0: no copies",
        at_least=0,
    )
    leave_out: str = option(
        "", "classes whose clips neither train nor test, with commas; they keep their place in the labels"
    )
    max_clips_per_class: int | None = option(
        None, "keep at most this many training clips a class, copies among them, drawn by seed", above=0
    )
    labelled_recordings: str = option(
        ALL_RECORDINGS, "training recordings a class whose labels are known: a number or all"
    )
    label_fraction: float = option(
        1.0, "share of each class's training recordings whose labels are known, one at least", above=0, at_most=1
    )

    backbone: str = option(
        "resnet18", "one of the paper's seven, yamnet, any timm architecture, or several encoders side by side: A+B"
    )
    image_size: int | None = option(
        None, "height and width of the picture in pixels; the backbone's own where absent", above=0
    )
    duration: float = option(4.0, "seconds of a clip that the network hears (the paper's ablation: 1, 2, 4)", above=0)
    pad_mode: Literal["zeros", "repeat"] | None = option(
        None, "what fills up short clips: silence (zeros), or the clip again; as in --init-from, else zeros", PAD_MODES
    )
    init_from: str | None = option(
        None, "run, or model folder, whose encoder training starts from; over folds with {fold} and {seed}"
    )
    pretrained_file: str | None = option(
        None, "local pretrained weights of the backbone, not the Hub's; of several encoders BACKBONE=FILE,…"
    )

    augment: str = option("default", "policy of training: a name, one of the paper's variants, or a .yaml file")
    augment_on: Literal["device", "worker", "none"] | None = option(
        None,
        "device, worker (DataLoader processes) or none; device, and none for linear_probe or copies, where absent",
        ("device", "worker", "none"),
    )
    background_noise: str | None = option(None, "folder of recordings for a policy with background_noise")
    mixup_alpha: float = option(0.0, "mixup by Beta(alpha, alpha) beside the policy; 0 for none", at_least=0)

    epochs: int = option(20, "passes over the training clips", above=0)
    batch_size: int = option(32, "clips a step and process", above=0)
    gradient_accumulation_steps: int = option(1, "batches whose gradients make one step of the optimiser", above=0)
    optimizer: Literal["adam", "adamw", "sgd"] = option(
        "adam", "adam (the paper's), adamw, or sgd with momentum 0.9", ("adam", "adamw", "sgd")
    )
    learning_rate: float | None = option(None, "peak rate; 1e-3, and 1e-4 for finetune, where absent", above=0)
    lr_scheduler: str = option(
        "cosine",
        f"a schedule: {', '.join(SCHEDULES)}; step: a tenth of the rate at 60 and 80 % of the steps",
        SCHEDULES,
    )
    warmup_epochs: float | None = option(
        None, f"epochs over which the rate rises from 0; 1, and 0 with {PLATEAU}, where absent", at_least=0
    )
    plateau_patience: int = option(
        2, f"{PLATEAU}: validations without a better accuracy after which the rate falls to a tenth", above=0
    )
    weight_decay: float = option(0.0, "of all weights but norms and biases; adam adds it to the gradient", at_least=0)
    max_grad_norm: float | None = option(None, "norm to which gradients are clipped; not at all where absent", above=0)

    seed: int = option(0, "of weights, clip order and every draw", at_least=0)
    mixed_precision: Literal["no", "fp16", "bf16"] | None = option(
        None, "no, fp16 or bf16; what accelerate launch was told where absent", ("no", "fp16", "bf16")
    )
    channels_last: bool = option(
        True, "maps and weights of convolutions lie in memory with channels last, which tensor cores and CPUs do faster"
    )
    compile: Literal["inductor", "aot_eager", "eager"] | None = option(
        None,
        "train with backbones that torch.compile compiled: inductor (needs a C++ compiler), or aot_eager or eager, to "
        "find what fails; not compiled where absent",
        COMPILERS,
    )
    num_workers: int = option(0, "processes that decode clips; results do not depend on it", at_least=0)
    decode_once: bool = option(False, "keep decoded clips on disk (96 kB a second) and skip decoding in every epoch")
    report_to: Literal["none", "tensorboard", "trackio", "wandb"] = option(
        "none", "tracker that is told of every epoch, beside history.csv", TRACKERS
    )
    log_every: int = option(10, "steps from one refreshing of the progress bar to the next", above=0)
    keep_checkpoints: int = option(2, "how many of the newest checkpoints stay", above=0)
    checkpoint_seconds: float = option(
        0.0, "seconds from one checkpoint to the next, at least; 0: one after every epoch", at_least=0
    )
    ddp_timeout: int = option(
        1800,
        "seconds that processes wait for one that does not answer before they end; decoding counts",
        above=0,
        at_most=2_592_000,
    )
    resume: Literal["no", "auto"] = option(
        "no", "auto: go on from the run's last complete checkpoint, if there is one", ("no", "auto")
    )
    overwrite: bool = option(False, "replace a run that is in output_dir already")

    def __post_init__(self) -> None:
        refuse_missing(self, self.required)
        self.labelled_recordings = str(self.labelled_recordings)  # YAML reads 3 as a number
        check_options(self)
        if self.labelled_recordings != ALL_RECORDINGS:
            if not self.labelled_recordings.isdecimal() or int(self.labelled_recordings) == 0:
                raise QuaclrsError(
                    f"--labelled-recordings is {self.labelled_recordings!r}; give a number above 0, or all"
                )
            if self.label_fraction < 1:
                raise QuaclrsError("--labelled-recordings and --label-fraction exclude each other; give one")
        self._settle_copies()
        try:
            specs = [find_backbone(name) for name in self.backbone_names]
        except BackboneError as error:
            raise QuaclrsError(f"--backbone: {error}") from error
        # What was left open is settled here, so that the saved config says what was run.
        if len(specs) == 1:
            self.image_size = self.image_size or specs[0].image_size
        elif self.image_size:
            raise QuaclrsError(
                "--image-size is for one backbone; several have pictures of their own sizes, leave it out"
            )
        self.pad_mode = self.pad_mode or pad_mode_of(self.init_from)
        if self.lr_scheduler != PLATEAU and self.plateau_patience != TrainingConfig.plateau_patience:
            raise QuaclrsError(f"--plateau-patience has no use without --lr-scheduler {PLATEAU}; leave it out")
        if self.lr_scheduler == PLATEAU and self.warmup_epochs:
            raise QuaclrsError(f"--warmup-epochs has no use with --lr-scheduler {PLATEAU}; leave one out")
        if self.warmup_epochs is None:
            self.warmup_epochs = 0.0 if self.lr_scheduler == PLATEAU else 1.0

    @property
    def backbone_names(self) -> list[str]:
        """The backbones of `A+B`, one each encoder."""
        return self.backbone.split("+")

    @property
    def tied_to_epochs(self) -> str:
        """The option by which the number of epochs shapes every step; empty where more may follow after the last."""
        return "" if self.lr_scheduler in ("constant", PLATEAU) else f"--lr-scheduler {self.lr_scheduler}"

    def _settle_copies(self) -> None:
        if self.protocol != "paper":
            if self.fill_per_fold is not None:
                raise QuaclrsError("--fill-per-fold is for --protocol paper: elsewhere clips are never copied")
            return
        if self.fill_per_fold is None:
            self.fill_per_fold = PAPER_FILL
        if self.fill_per_fold and (self.labelled_recordings != ALL_RECORDINGS or self.label_fraction < 1):
            raise QuaclrsError("few labels are counted in recordings, not in copies; pass --fill-per-fold 0")


def files_of(pretrained_file: str | None) -> dict[str, str]:
    """Files of `--pretrained-file` by backbone: `BACKBONE=FILE`, with commas between several; "" of a file alone."""
    if not pretrained_file:
        return {}
    if "=" not in pretrained_file:
        return {"": pretrained_file}
    return dict(entry.partition("=")[::2] for entry in pretrained_file.split(","))


def model_folder_of(run: str) -> Path:
    """Folder of a run's model; the folder itself where it is one that `save_pretrained` wrote."""
    return Path(run) / "model" if (Path(run) / "model").is_dir() else Path(run)


def pad_mode_of(init_from: str | None) -> Any:
    """Padding of the front end of `--init-from`; None where it differs by fold and seed."""
    if not init_from:
        return "zeros"
    if "{fold}" in init_from or "{seed}" in init_from:
        return None
    front_end = saved_config(init_from).get("log_mel")
    return front_end.get("pad_mode", "zeros") if isinstance(front_end, dict) else "zeros"


def saved_config(init_from: str) -> dict[str, Any]:
    """The `config.json` of `--init-from`; empty where there is none, which is said where the model is loaded.

    Raises:
        QuaclrsError: it cannot be read.
    """
    file = model_folder_of(init_from) / "config.json"
    return read_mapping(file, "give --init-from another model") if file.is_file() else {}
