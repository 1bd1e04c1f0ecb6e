"""Train a recipe on every clip, and make of it the model that comes with the package.

`python -m training.release --config training/configs/default_model.yaml --dataset DIR --cross-validation CV …`. A
recipe is chosen by cross-validation; then nothing is kept back, so nothing is left to choose an epoch or to test with:
the last epoch is taken, whatever `--keep-epoch` says. The card's figures are those of the cross-validation, whose
predictions are of clips and of kinds of background that their networks had not heard. So are the offsets of the
classes, the temperature of the scores, how readily `other` is answered, and the thresholds by false alarms.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from torch import nn

from quaclrs.default_model import DEFAULT_MODEL
from quaclrs.errors import QuaclrsError, report_user_errors
from quaclrs.evaluation.calibration import measure_reliability
from quaclrs.evaluation.open_set import describe_open_set, offset_of_other, open_set_figures
from quaclrs.evaluation.records import write_record
from quaclrs.evaluation.reports.tables import percent
from quaclrs.evaluation.result_files import OPEN_SET, PREDICTIONS, Predictions, read_predictions
from quaclrs.evaluation.run_metrics import METRICS_FILE, run_folders
from quaclrs.files import name_unwritable
from quaclrs.inference.encoder_export import write_encoder_graph
from quaclrs.labels import OTHER
from quaclrs.models import QuaclrsFeatureExtractor, QuaclrsForAudioClassification
from quaclrs.saved_model import GRAPH
from quaclrs.text_files import read_mapping

from .clips.background import kind_of
from .runs.card import LICENCE, CardContext, without_local_paths
from .runs.config import PLATEAU
from .runs.heard import OPEN, licence_of
from .runs.options import command_line, option, parse_config
from .runs.session import Session
from .supervised.config import SupervisedConfig
from .supervised.release_card import release_rows, write_release_card
from .train_supervised import fit

#: Options of a run that say where and how it ran, not what was learned.
_OF_THE_RUN = {"test_fold", "seed", "output_dir", "dataset", "num_workers", "decode_once", "resume", "overwrite"} | {
    "log_every", "validate_every", "keep_checkpoints", "checkpoint_seconds", "report_to", "pretrained_file",
    "ddp_timeout",
}  # fmt: skip


#: Share of what was right that stays right where `other` is allowed; a little more than the 95 % that are asked for.
_KEPT = 0.9505


@dataclass
class ReleaseConfig(SupervisedConfig):
    """Supervised training on every clip of the data set, with a recipe that was cross-validated."""

    required: ClassVar[tuple[str, ...]] = ("dataset", "output_dir", "cross_validation")

    cross_validation: str = option("", "folder of a finished training.cross_validate of the same recipe")
    evaluation: str | None = option(None, "what `quaclrs evaluate --noise …` wrote of one of its models, for the card")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience or self.lr_scheduler == PLATEAU:
            raise QuaclrsError(
                "a release has no validation clips to go by; cross-validate without --patience and "
                f"--lr-scheduler {PLATEAU}, and release that"
            )


def release(config: ReleaseConfig) -> dict[str, Any]:
    """Train, set the temperature and write the model's folder, `model/` of the run, with its card and licence.

    Returns:
        `temperature`, `class_offsets`, `clips`, the largest change of a weight by half precision (`rounding`) and by
        how much the graph for ONNX Runtime differs from PyTorch (`graph`).

    Raises:
        QuaclrsError: wrong options, or the cross-validation is not finished or of another recipe.
        SystemExit: SIGTERM or Ctrl-C came; a checkpoint was written first.
    """
    summary, scored = read_cross_validation(config)
    calibration = calibrate(scored, config.duration)
    class_offsets = mean_offsets(config, summary) if config.class_offsets else {}
    with Session.begin(config) as session:
        of_any_fold = dataclasses.replace(config, test_fold=summary["folds"][0])
        fitted = fit(session, of_any_fold, hold_out=False)
        run, clips = session.folder, fitted.splits.train
        model = fitted.trainable.whole(fitted.network).cpu()
        background = int((clips.labels >= len(fitted.splits.known_names)).sum())
        metrics = {
            **calibration,
            "class_offsets": class_offsets,
            "clips": len(clips) - background,
            "background_clips": background,
        }
        metrics["synthetic"] = fitted.splits.synthetic
        model.config.false_alarms = thresholds_of(calibration["open_set"])
        if session.accelerator.is_main_process:
            evaluated = Path(config.evaluation) if config.evaluation else None
            command = command_line("python -m training.release", without_local_paths(config))
            context = CardContext(run=run.path, evaluation=evaluated)
            with name_unwritable(run.model), run.model_written() as folder:
                offsets = {**class_offsets, OTHER: calibration["offset"]}
                metrics["rounding"] = save_released(
                    model, fitted.feature_extractor, calibration["temperature"], folder, offsets
                )
                metrics["graph"] = write_encoder_graph(folder, DEFAULT_MODEL / GRAPH)
                if licence_of(folder, config) != OPEN:
                    shutil.copyfile(LICENCE, folder / "LICENSE")
                write_release_card(folder, config, Path(config.cross_validation), summary, metrics, command, context)
            run.write_json("metrics.json", metrics)
            write_record(run.path / "record.json", command, release_rows(summary, metrics))
        session.close()
        return metrics


def read_cross_validation(config: ReleaseConfig) -> tuple[dict[str, Any], Predictions]:
    """The summary of a cross-validation, and its predictions of test clips, and of background, all runs together.

    Raises:
        QuaclrsError: it is not finished, or a run of it had other options than the recipe.
    """
    folder = Path(config.cross_validation)
    if not (folder / "summary.json").is_file():
        raise QuaclrsError(f"--cross-validation {folder} is not finished; give the --output-dir of one that is")
    summary = read_mapping(folder / "summary.json")
    try:
        runs = run_folders(folder, summary)
        names, _ = [*summary["class_names"], *([OTHER] if config.background else [])], summary["folds"][0]
    except (KeyError, TypeError, IndexError) as error:
        raise QuaclrsError(
            f"{folder / 'summary.json'} is not the summary of a cross-validation; run training.cross_validate again"
        ) from error
    ours = dataclasses.asdict(config)
    defaults = {entry.name: entry.default for entry in dataclasses.fields(SupervisedConfig)}
    found = []
    for path in runs:
        # An option that came after the run has its default there.
        theirs = defaults | read_mapping(path / "config.yaml")
        for name in sorted((theirs.keys() & ours.keys()) - _OF_THE_RUN):
            if theirs[name] != ours[name]:
                raise QuaclrsError(f"--cross-validation {folder} had {name} {theirs[name]}, not {ours[name]}")
        found.append(read_predictions(path / (OPEN_SET if config.background else PREDICTIONS), names))
    return summary, Predictions(
        clip_ids=[clip_id for of_run in found for clip_id in of_run.clip_ids],
        folds=[fold for of_run in found for fold in of_run.folds],
        labels=np.concatenate([of_run.labels for of_run in found]),
        probabilities=np.concatenate([of_run.probabilities for of_run in found]),
        class_names=names,
    )


def mean_offsets(config: ReleaseConfig, summary: dict[str, Any]) -> dict[str, float]:
    """Class -> the mean of what the runs of the cross-validation added to its logit: every clip trains the release."""
    runs = run_folders(Path(config.cross_validation), summary)
    found = [read_mapping(run / METRICS_FILE)["class_offsets"] for run in runs]
    return {name: statistics.mean(of_run[name] for of_run in found) for name in found[0]}


def calibrate(scored: Predictions, seconds: float) -> dict[str, Any]:
    """Make scores mean what they say, by predictions of clips that were not heard.

    Args:
        scored: of a cross-validation.
        seconds: of a clip.

    Returns:
        - `offset`: what is added to the logit of `other`, before the division; 0 of a model without it
        - `temperature`: what logits are divided by
        - `calibration_error`: expected calibration error afterwards (see `measure_reliability`)
        - `open_set`: figures afterwards (see `open_set_figures`); None of a model without `other`
    """
    labels, probabilities, names = scored.labels, scored.probabilities, scored.class_names
    offset = offset_of_other(labels, probabilities, _KEPT) if names[-1] == OTHER else 0.0
    logits = np.log(np.clip(probabilities, 1e-12, None))
    logits[:, -1] += offset
    temperature = fit_temperature(labels, softmax(logits, axis=1))
    calibrated = softmax(logits / temperature, axis=1)
    kinds = [kind_of(clip_id) for clip_id in scored.clip_ids]
    return {
        "offset": offset,
        "temperature": temperature,
        "calibration_error": measure_reliability(labels, calibrated).error,
        "open_set": open_set_figures(labels, calibrated, names, kinds, seconds) if names[-1] == OTHER else None,
    }


def thresholds_of(open_set: dict[str, Any] | None) -> dict[str, dict[str, float]] | None:
    """Thresholds by false alarms an hour, of those that background was enough for; None where there are none."""
    told = open_set["at_alarms_per_hour"] if open_set else {}
    return {count: entry for count, entry in told.items() if entry["threshold"] is not None} or None


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature that logits are divided by for the lowest Brier score.

    Guo et al. (2017, section 4.2) take the lowest cross-entropy. That follows the few clips that a network is sure of
    and wrong about, and leaves all others unsure.

    Args:
        labels: (clips,) integers.
        probabilities: (clips, classes) of networks that had not heard these clips.
    """
    logits = np.log(np.clip(probabilities, 1e-12, None))

    of_labels = np.eye(logits.shape[1])[labels]

    def brier_score(log_temperature: float) -> float:
        scores = softmax(logits / float(np.exp(log_temperature)), axis=1)
        return float(((scores - of_labels) ** 2).sum(axis=1).mean())

    return float(np.exp(minimize_scalar(brier_score, bounds=(-3, 3), method="bounded").x))


@torch.no_grad()
def save_released(
    model: QuaclrsForAudioClassification,
    extractor: QuaclrsFeatureExtractor,
    temperature: float,
    folder: Path,
    offsets: Mapping[str, float] | None = None,
) -> float:
    """Save in half precision, with the temperature in the classifier's weights: scores are calibrated whoever runs it.

    So are the `offsets` of classes by name, which are added before the division; those of other names are passed over.

    BatchNorm's statistics, whose range is wide, stay in float32, and `config.json` says float32: that is what the model
    runs in.

    Returns:
        The largest relative change of a weight's size by rounding.
    """
    classifier: nn.Linear = model.classifier
    names: Any = model.config.id2label
    classifier.bias.add_(torch.tensor([(offsets or {}).get(names[label], 0.0) for label in range(len(names))]))
    classifier.weight.div_(temperature)
    classifier.bias.div_(temperature)
    state, rounding = {}, 0.0
    for name, tensor in model.state_dict().items():
        small = tensor.is_floating_point() and "running_" not in name
        state[name] = (tensor.half() if small else tensor).contiguous()
        if small and float(tensor.abs().max()):
            change = (state[name].float() - tensor).abs().max() / tensor.abs().max()
            rounding = max(rounding, float(change))
    model.save_pretrained(folder, state_dict=state)
    extractor.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
    return rounding


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    config = parse_config(ReleaseConfig, arguments)
    metrics = release(config)
    if metrics["open_set"]:
        print(describe_open_set(metrics["open_set"]))
    told = f"temperature {metrics['temperature']:.2f}, calibration error {percent(metrics['calibration_error'])}"
    print(f"{told}; model: {Path(config.output_dir) / 'model'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
