"""Publish a run or a model of `quaclrs learn` on the Hub: `python -m training.push RUN --repo NAMESPACE/NAME`.

One commit holds the weights as safetensors, the encoder's graph for ONNX Runtime, the feature extractor, the Python
files that run them where quaclrs is not installed, the model card with its picture, the run's options and figures, and
the licence.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import yaml

from quaclrs.errors import CommandParser, QuaclrsError, QuaclrsWarning, first_line_of, report_user_errors
from quaclrs.evaluation.run_metrics import METRICS_FILE, RunMetrics
from quaclrs.hub import check_repo_id, push_folder
from quaclrs.inference.encoder_export import write_encoder_graph
from quaclrs.learning.card import FOLDER
from quaclrs.learning.saving import CARD, REPORT, SUMMARY, is_learned
from quaclrs.learning.saving import LICENCE as OWN_LICENCE
from quaclrs.models import QuaclrsConfig, QuaclrsFeatureExtractor, QuaclrsForAudioClassification, QuaclrsModel
from quaclrs.saved_model import GRAPH, open_saved_model
from quaclrs.text_files import read_mapping

from .release import ReleaseConfig
from .runs.card import LICENCE, CardContext, without_local_paths
from .runs.heard import OPEN, licence_of
from .runs.options import parse_config, read_options_file
from .ssl.card import write_encoder_card
from .ssl.config import SSLConfig
from .supervised.card import write_model_card
from .supervised.config import SupervisedConfig
from .supervised.results import describe_initial_weights

#: Folder of the sounds that the Hub's page plays.
_EXAMPLES = "examples"


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m training.push", description="Publish a finished run on the Hub.")
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="folder of a finished run, a release, or of `quaclrs learn`")
    add("--repo", metavar="NAMESPACE/NAME", help="repository (default: quaclrs/urbansound13-BACKBONE[-METHOD])")
    add("--private", action="store_true", help="only you, or your organisation, may read it")
    add(
        "--evaluation",
        type=Path,
        metavar="DIR",
        help="folder of `quaclrs evaluate --noise … --output-dir`, for a table on the card",
    )
    add("--example", type=Path, action="append", default=[], metavar="FILE", help="a sound that the page plays")
    options = parser.parse_args(arguments)
    run = None if is_learned(options.run) else read_run(options.run)
    repo_id = options.repo or (default_repo_id(run) if run else None)
    if repo_id is None:
        raise QuaclrsError(f"{options.run} is of `quaclrs learn`; say where it goes: --repo NAMESPACE/NAME")
    check_repo_id(repo_id, "model")
    with tempfile.TemporaryDirectory() as folder:
        if run:
            write_repository(run, Path(folder), repo_id, options.evaluation, options.example)
        elif options.evaluation or options.example:
            raise QuaclrsError("--evaluation and --example have no use with a model of `quaclrs learn`; leave them out")
        else:
            write_learned_repository(options.run, Path(folder), repo_id)
        message = run.message if run else "Learned with quaclrs learn"
        pushed = push_folder(
            Path(folder), repo_id, "model", stale_patterns=["*"], private=options.private, commit_message=message
        )
    print(f"{pushed.url}: {len(pushed.files)} files; commit {pushed.commit[:7]}")
    loader = "AutoModel" if run and run.is_encoder else "AutoModelForAudioClassification"
    print(f'load it with {loader}.from_pretrained("{repo_id}") after `import quaclrs.auto`')
    return 0


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run's folder with its options and figures."""

    path: Path
    config: SupervisedConfig | SSLConfig
    metrics: dict[str, Any]

    @property
    def is_encoder(self) -> bool:
        """True for an encoder without classifier, from self-supervision."""
        return isinstance(self.config, SSLConfig)

    @property
    def message(self) -> str:
        """First line of the commit."""
        how = self.config.method if isinstance(self.config, SSLConfig) else self.config.mode
        if isinstance(self.config, ReleaseConfig):
            return f"{self.config.backbone}, {how}, trained on every clip"
        return f"{self.config.backbone}, {how}, tested on fold {self.config.test_fold}"


def read_run(path: Path) -> FinishedRun:
    """Read a run's folder.

    Raises:
        QuaclrsError: it is not a finished run, or its options are not those of this version.
    """
    for name in ("config.yaml", METRICS_FILE, "model/config.json", "model/model.safetensors"):
        if not (path / name).is_file():
            raise QuaclrsError(f"{path} is not a finished run: it lacks {name}; give the folder of a run that ended")
    try:
        options = read_options_file(path / "config.yaml")
        released = ReleaseConfig if "cross_validation" in options else SupervisedConfig
        kind = SSLConfig if "method" in options else released
        config: Any = parse_config(kind, ["--config", str(path / "config.yaml")])
        metrics = read_mapping(path / METRICS_FILE)
        if kind is not ReleaseConfig:
            RunMetrics.read(path)
        elif not isinstance(metrics.get("synthetic"), bool):
            raise ValueError(f"{METRICS_FILE} does not say if its clips are synthetic")
    except QuaclrsError:
        raise
    except ValueError as error:
        raise QuaclrsError(f"{path} cannot be read as a run ({first_line_of(error)})") from error
    return FinishedRun(path, config, metrics)


def default_repo_id(run: FinishedRun) -> str:
    """`quaclrs/urbansound13-{backbone}[-{method}]`, in characters that the Hub allows."""
    method = f"-{run.config.method}" if isinstance(run.config, SSLConfig) else ""
    return f"quaclrs/urbansound13-{run.config.backbone.replace('/', '-').replace('+', '-')}{method}"


def write_repository(
    run: FinishedRun, folder: Path, repo_id: str, evaluation: Path | None, examples: list[Path]
) -> None:
    """Write into an empty folder what the repository will hold.

    Args:
        run: whose model.
        folder: empty.
        repo_id: by which the card says the model is loaded.
        evaluation: with a test of robustness, for the card.
        examples: sound files for the page.

    Raises:
        QuaclrsError: weights that cannot be loaded, an example that is not a file, an evaluation without robustness.
    """
    if isinstance(run.config, ReleaseConfig) and (evaluation or examples):
        name = "--evaluation" if evaluation else "--example"
        raise QuaclrsError(f"{name} has no use with a release, whose card is written already; leave it out")
    for example in examples:
        if not example.is_file():
            raise QuaclrsError(f"--example {example} is not a file; give a sound file")
        if [other.name for other in examples].count(example.name) > 1:
            raise QuaclrsError(f"--example: two files are called {example.name}; rename one")
    source = run.path / "model"
    _write_model(source, folder, run.is_encoder)
    published = without_local_paths(run.config)
    options = yaml.safe_dump(dataclasses.asdict(published), sort_keys=False)
    (folder / "config.yaml").write_text(options, encoding="utf-8")
    metrics = dict(run.metrics)
    if isinstance(published, SupervisedConfig):  # without the path of what it began with
        metrics["initial_weights"] = describe_initial_weights(published)
    (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    if (source / "timm_backbone.safetensors").is_file():
        shutil.copyfile(source / "timm_backbone.safetensors", folder / "timm_backbone.safetensors")
    if licence_of(source, run.config) != OPEN:
        shutil.copyfile(LICENCE, folder / "LICENSE")
    if examples:
        (folder / _EXAMPLES).mkdir()
    names = []
    for example in examples:
        shutil.copyfile(example, folder / _EXAMPLES / example.name)
        names.append(f"{_EXAMPLES}/{example.name}")
    context = CardContext(repo_id, run.path, evaluation, tuple(names))
    if isinstance(run.config, ReleaseConfig):  # has its card, with figures of its cross-validation
        for name in ("README.md", "confusion_matrix.png"):
            shutil.copyfile(source / name, folder / name)
    elif isinstance(run.config, SSLConfig):
        write_encoder_card(folder, run.config, RunMetrics.from_dict(metrics), context)
    else:
        write_model_card(folder, run.config, RunMetrics.from_dict(metrics), context)


def write_learned_repository(source: Path, folder: Path, repo_id: str) -> None:
    """Write into an empty folder what the repository of a model of `quaclrs learn` will hold.

    Args:
        source: that `quaclrs learn` wrote.
        folder: empty.
        repo_id: by which the card says the model is loaded.

    Raises:
        QuaclrsError: weights that cannot be loaded.
    """
    _write_model(source, folder, is_encoder=False)
    for name in (CARD, SUMMARY, REPORT, OWN_LICENCE):
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    card = folder / CARD
    card.write_text(card.read_text(encoding="utf-8").replace(FOLDER, repo_id), encoding="utf-8")


def _write_model(source: Path, folder: Path, is_encoder: bool) -> None:
    """Weights, feature extractor and graph of a model, and the Python files that run them without quaclrs."""
    QuaclrsConfig.register_for_auto_class()
    QuaclrsFeatureExtractor.register_for_auto_class()
    QuaclrsModel.register_for_auto_class("AutoModel")
    QuaclrsForAudioClassification.register_for_auto_class("AutoModelForAudioClassification")
    model_class = QuaclrsModel if is_encoder else QuaclrsForAudioClassification
    saved = open_saved_model(source, name=str(source))
    saved.check_front_end()
    model: Any = saved.load(model_class)
    extractor = QuaclrsFeatureExtractor(log_mel=saved.options["log_mel"])
    # Saving adds the class of the model itself; the encoder of a classifier loads from the same weights.
    model.config.auto_map = {"AutoModel": f"{QuaclrsModel.__module__.rpartition('.')[2]}.{QuaclrsModel.__name__}"}
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    if not is_encoder:
        try:
            write_encoder_graph(folder, source / GRAPH)
        except QuaclrsError as error:  # an architecture that does not export is published all the same
            warnings.warn(f"without {GRAPH}, so that it needs PyTorch: {error}", QuaclrsWarning, stacklevel=1)


if __name__ == "__main__":
    sys.exit(main())
