"""The whole way in one command, on the embedded sample: `python -m training.quickstart`.

Synthesise recordings, build the data set, train, test on a held-out fold, save the model and label clips with it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.locks import only_writer


@dataclass(frozen=True)
class QuickstartConfig:
    """A network small enough to learn the sample from scratch in minutes on two cores.

    Args:
        output_dir: folder for the sample and the run.
        seed: of the sample and of training.
    """

    output_dir: Path = Path("runs/quickstart")
    seed: int = 0
    test_fold: int = 1
    backbone: str = "mobilenetv3_small_050"
    image_size: int = 96
    epochs: int = 12
    batch_size: int = 16
    learning_rate: float = 3e-3
    example_clips: int = 3


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    defaults = QuickstartConfig()
    parser = CommandParser(prog="python -m training.quickstart", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output-dir", type=Path, default=defaults.output_dir, metavar="DIR")
    parser.add_argument("--seed", type=int, default=defaults.seed, metavar="N")
    options = parser.parse_args(arguments)
    with only_writer(options.output_dir):
        return run(QuickstartConfig(output_dir=options.output_dir, seed=options.seed))


def run(config: QuickstartConfig) -> int:
    """Run every step and print what was made, where, and what to type next with real recordings."""
    started = time.perf_counter()
    sample, training_run = config.output_dir / "sample", config.output_dir / "run"
    _make_room(config.output_dir, sample, training_run)
    _announce(1, "synthesise the sample and build the data set")
    # A child process, as a user would type it: training and the builder know nothing of each other.
    subprocess_of("dataset_builder", "sample", "--output", str(sample), "--seed", str(config.seed))

    _announce(2, f"train {config.backbone} from scratch, validate every epoch, test on fold {config.test_fold}")
    from .supervised.config import SupervisedConfig
    from .train_supervised import print_result, train

    training = SupervisedConfig(
        dataset=str(sample),
        test_fold=config.test_fold,
        output_dir=str(training_run),
        backbone=config.backbone,
        image_size=config.image_size,
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        decode_once=True,
        seed=config.seed,
    )
    metrics = train(training)
    print_result(training, metrics)

    _announce(3, "label clips of the held-out fold with the saved model")
    files = sorted((sample / "UrbanSound8K" / "audio" / f"fold{config.test_fold}").iterdir())
    from quaclrs.cli import main as quaclrs

    chosen = [str(file) for file in files[:: max(1, len(files) // config.example_clips)]][: config.example_clips]
    quaclrs(["predict", *chosen, "--model", str(training_run / "model")])

    print(f"\nDone in {time.perf_counter() - started:.0f} s. What was made:")
    for path, what in {
        sample: "synthetic recordings and the data set built of them",
        training_run / "model": "the classifier: from_pretrained and pipeline read it",
        training_run / "metrics.json": "figures of the held-out fold",
        training_run / "predictions.csv": "probabilities of every test clip",
        training_run / "plots" / "confusion_matrix.png": "which class is taken for which",
        training_run / "plots" / "training_curves.png": "loss and accuracy over the epochs",
    }.items():
        print(f"  {path}: {what}")
    print(
        "\nThe sample is synthetic: its figures show that everything works, and say nothing about real streets.\n"
        "With real recordings:\n"
        "  python -m dataset_builder build --urbansound8k DIR --sirennet DIR --output data/urbansound13\n"
        "  accelerate launch -m training.train_supervised --dataset data/urbansound13 --test-fold 1 "
        "--output-dir runs/resnet18-fold1\n"
        "  quaclrs predict clip.wav --model runs/resnet18-fold1/model"
    )
    return 0


def _make_room(output_dir: Path, *made: Path) -> None:
    """Remove what an earlier quickstart made, and nothing else."""
    if output_dir.exists() and not output_dir.is_dir():
        raise QuaclrsError(f"{output_dir} is a file; choose another --output-dir")
    # A killed quickstart leaves locks and unfinished files, hidden, with the names of what they are for.
    ours = re.compile("|".join(rf"{path.name}|\.{path.name}\..*" for path in made))
    foreign = [p.name for p in output_dir.iterdir() if not ours.fullmatch(p.name)] if output_dir.is_dir() else []
    if foreign:
        raise QuaclrsError(
            f"{output_dir} holds {min(foreign)}, which quickstart did not make; choose another --output-dir"
        )
    for path in made:
        shutil.rmtree(path, ignore_errors=True)


def subprocess_of(module: str, *arguments: str) -> None:
    """Run `python -m module`; it prints its own errors."""
    status = subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode
    if status:
        raise QuaclrsError(f"python -m {module} {' '.join(arguments)} ended with status {status}; see above")


def _announce(step: int, what: str) -> None:
    print(f"\n[{step}/3] {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
