"""Accuracy over labelled recordings a class: `python -m training.label_efficiency` draws the curves (paper, RQ1).

For each number of labelled recordings a class and each seed, which also draws the recordings, it trains from scratch,
fine-tunes and probes a pre-trained encoder, trains it further with and without labels at once (quasi-supervision), and
probes an ImageNet network. Test and validation folds stay whole; the best epoch is chosen on validation, whose labels
no count holds.
"""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quaclrs.errors import QuaclrsError, report_user_errors
from quaclrs.evaluation.figures.label_efficiency import label_efficiency_figure
from quaclrs.evaluation.figures.style import save_figure
from quaclrs.evaluation.reports.tables import markdown_table, percent
from quaclrs.files import refuse_unwritable
from quaclrs.locks import only_writer

from .clips.few_labels import count_labelled_clips
from .runs.config import ALL_RECORDINGS, TrainingConfig
from .runs.folder import RunFolder
from .runs.heard import refuse_planned
from .runs.options import (
    check_options,
    command_line,
    option,
    parse_config,
    parse_numbers,
    read_options_file,
    refuse_missing,
)
from .runs.queue import Starter, train_all
from .runs.run import Run
from .ssl.config import SSLConfig
from .supervised.config import SupervisedConfig

#: Options of the encoder's own training that quasi-supervision keeps.
_OF_THE_METHOD = (
    "method", "method_options", "augment", "background_noise", "local_views", "local_duration", "batch_size",
    "gradient_accumulation_steps",
)  # fmt: skip


@dataclass
class LabelEfficiencyConfig:
    """Label-efficiency curves on one test fold."""

    dataset: str = option("", "folder that the builder wrote, or a Hub repository")
    test_fold: int = option(0, "fold to test on", at_least=0)
    output_dir: str = option("", "folder for the runs, the table and the figure; finished runs in it are not repeated")
    encoder: str = option("", "run of training.train_ssl with that test fold; over seeds with {seed}")
    recordings: str = option("1,3,10,all", "labelled recordings a class, a comma between")
    seeds: str = option("0,1,2,3,4", "seeds of the choice of recordings and of every draw, a comma between")
    steps: int = option(300, "steps of the optimiser, at least, from scratch and in fine-tuning", above=0)
    epochs: int = option(15, "epochs, at least, from scratch and in fine-tuning", above=0)
    batch_size: int = option(32, "clips a step, or all where there are fewer", above=1)
    learning_rate: float = option(1e-3, "peak rate from scratch", above=0)
    finetune_learning_rate: float = option(1e-3, "peak rate of fine-tuning", above=0)
    quasi_epochs: int = option(10, "epochs of quasi-supervision, which begins with the encoder", above=0)
    supervised_weight: float = option(0.3, "weight of the labels in quasi-supervision (paper, section 4.4)", above=0)
    imagenet_backbone: str = option("tf_efficientnet_lite0", "network of the ImageNet curve")
    imagenet_file: str | None = option(None, "weights of the ImageNet curve; without them it is left out")
    num_workers: int = option(0, "processes that decode clips", at_least=0)
    decode_once: bool = option(False, "keep decoded clips on disk")
    jobs: int = option(1, "runs side by side, which share the processors", above=0)

    def __post_init__(self) -> None:
        refuse_missing(self, ("dataset", "test_fold", "output_dir", "encoder"))
        check_options(self)
        self.amounts = [amount.strip() for amount in self.recordings.split(",")]
        for amount in self.amounts:
            if amount != ALL_RECORDINGS and (not amount.isdecimal() or int(amount) == 0):
                raise QuaclrsError(f"--recordings holds {amount!r}; give numbers above 0, or all")
        self.all_seeds = parse_numbers("--seeds", self.seeds)


@report_user_errors
def main(arguments: list[str] | None = None, start: Starter = Run.start) -> int:
    config = parse_config(LabelEfficiencyConfig, arguments)
    with only_writer(Path(config.output_dir)):
        return _draw_curves(config, start)


def _draw_curves(config: LabelEfficiencyConfig, start: Starter) -> int:
    refuse_unwritable(config.output_dir, "--output-dir")
    clips = count_labelled_clips(config.dataset, config.test_fold, config.amounts, config.all_seeds)
    plan = {
        (curve, amount, seed): run
        for seed in config.all_seeds
        for amount in config.amounts
        for curve, run in plan_runs(config, amount, seed, clips[amount, seed]).items()
    }
    refuse_planned(run.config for run in plan.values())  # this, or a wrong option, is an error before any training
    failed = train_all(plan.values(), start, lambda line: print(line, file=sys.stderr, flush=True), config.jobs)
    folder = RunFolder(config.output_dir)
    accuracies: dict[str, dict[str, list[float]]] = {}
    for (curve, amount, _), run in plan.items():
        if run not in failed:
            of_curve = accuracies.setdefault(curve, {}).setdefault(amount, [])
            of_curve.append(run.results().of()["accuracy"])
    labelled = {a: [clips[a, seed] for seed in config.all_seeds] for a in config.amounts}
    text = describe(config, accuracies, labelled)
    print(text, flush=True)
    folder.write_text("label_efficiency.md", text)
    folder.write_json("label_efficiency.json", {"command": _command(config), "clips": labelled, "accuracy": accuracies})
    save_figure(
        label_efficiency_figure(accuracies, labelled, f"test fold {config.test_fold}, {len(config.all_seeds)} seeds"),
        folder.plots / "label_efficiency.png",
    )
    return 1 if failed else 0


def plan_runs(config: LabelEfficiencyConfig, amount: str, seed: int, clips: int) -> dict[str, Run]:
    """The trainings of one point, by curve: `amount` recordings a class, drawn by `seed`, are `clips` with labels."""
    encoder = config.encoder.replace("{seed}", str(seed))
    learned = _config_of(encoder)
    batch_size = min(config.batch_size, clips)
    shared: dict[str, Any] = {"dataset": config.dataset, "labelled_recordings": amount}
    shared |= {name: value for name in ("num_workers", "decode_once") if (value := getattr(config, name))}
    shared |= {"duration": learned.duration, "pad_mode": learned.pad_mode}
    same: dict[str, Any] = {"backbone": learned.backbone, "image_size": learned.image_size}
    epochs = max(config.epochs, math.ceil(config.steps / (clips // batch_size)))
    trained: dict[str, Any] = {"batch_size": batch_size, "epochs": epochs, "class_weights": "none"}
    trained |= {"optimizer": "adamw", "weight_decay": 0.01}
    scratch = {"mode": "scratch", "learning_rate": config.learning_rate}
    tuned = {"mode": "finetune", "learning_rate": config.finetune_learning_rate}
    from_encoder = {**same, "init_from": encoder}
    probed = {"mode": "linear_probe", "epochs": 100}
    quasi = {name: value for name in _OF_THE_METHOD if (value := getattr(learned, name)) is not None}
    quasi |= {"supervised_weight": config.supervised_weight, "method_weight": 1 - config.supervised_weight}
    quasi |= {"epochs": config.quasi_epochs, "warmup_epochs": 1}
    curves: dict[str, tuple[type[TrainingConfig], dict[str, Any]]] = {
        "from scratch": (SupervisedConfig, {**same, **trained, **scratch}),
        "pre-trained, fine-tuned": (SupervisedConfig, {**from_encoder, **trained, **tuned}),
        "pre-trained, linear probe": (SupervisedConfig, {**from_encoder, **probed}),
        "quasi-supervised": (SSLConfig, {**from_encoder, **quasi}),
    }
    if config.imagenet_file:
        weights = {"backbone": config.imagenet_backbone, "pretrained_file": config.imagenet_file}
        curves["ImageNet, linear probe"] = (SupervisedConfig, {**weights, **probed})
    runs = Path(config.output_dir) / "runs"
    return {
        name: Run(kind, runs / f"{name.replace(', ', '-').replace(' ', '-')}-{amount}", config.test_fold, seed,
                  tuple({**shared, **options}.items()))
        for name, (kind, options) in curves.items()
    }  # fmt: skip


def describe(
    config: LabelEfficiencyConfig, accuracies: dict[str, dict[str, list[float]]], labelled: dict[str, list[int]]
) -> str:
    """The curves as a Markdown table, with the command that draws them."""
    head = [f"{amount} ({statistics.mean(labelled[amount]):.0f} clips)" for amount in config.amounts]
    rows = [[curve, *(_mean(of.get(amount, [])) for amount in config.amounts)] for curve, of in accuracies.items()]
    lines = [
        f"Accuracy in % on test fold {config.test_fold} over labelled recordings a class (strict protocol); mean and "
        f"standard deviation (n - 1) over seeds {config.seeds}.",
        "",
        markdown_table(["training", *head], rows),
        "",
        f"`{_command(config)}`",
    ]
    return "\n".join(lines) + "\n"


def _mean(shares: list[float]) -> str:
    spread = statistics.stdev(shares) if len(shares) > 1 else None
    return percent(statistics.mean(shares) if shares else None, spread, unit="")


def _command(config: LabelEfficiencyConfig) -> str:
    return command_line("python -m training.label_efficiency", config)


def _config_of(encoder: str) -> SSLConfig:
    try:
        return SSLConfig(**read_options_file(Path(encoder) / "config.yaml"))
    except (QuaclrsError, TypeError) as error:
        raise QuaclrsError(
            f"--encoder {encoder} is not a run of training.train_ssl; give one, over seeds with {{seed}}"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
