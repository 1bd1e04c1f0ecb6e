"""`python -m training.reproduce questions`: run what the answers need, and write the page."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from quaclrs.data import load_urbansound13, plan_folds
from quaclrs.evaluation.figures.style import save_figure
from quaclrs.evaluation.result_files import write_text
from quaclrs.files import refuse_unwritable
from quaclrs.locks import only_writer

from ..runs.options import command_line, parse_config
from ..runs.warm import WarmProcesses
from .answers import answer_all
from .config import QuestionsConfig
from .figures import draw
from .laboratory import Laboratory
from .page import write_page
from .plan import Chosen

PAGE, KEPT = "questions.md", "runs/questions.json"


def main(arguments: list[str] | None = None) -> int:
    """The command; its options are those of `QuestionsConfig`."""
    config = parse_config(QuestionsConfig, arguments)
    with only_writer(Path(config.output_dir)):
        refuse_unwritable(config.output_dir, "--output-dir")
        with WarmProcesses(config.jobs) as processes:
            laboratory = Laboratory(config, processes)
            chosen = laboratory.work()
        kept = collect(laboratory, chosen)
        _write(kept, Path(config.output_dir), Path(config.output_dir) / "plots")
        if config.publish:
            docs = Path(config.publish)
            _write(kept, docs / "results", docs / "pictures")
        print(write_page(kept))
    return 1 if laboratory.failed else 0


def collect(laboratory: Laboratory, chosen: Chosen) -> dict[str, Any]:
    """All that the page says, as JSON has it; numbers are rounded to five digits."""
    config = laboratory.config
    plan = plan_folds(load_urbansound13(config.dataset), config.test_fold, "strict")
    seeds = f"label seeds {config.seeds}, encoder seeds {config.encoder_seeds}"
    kept = {
        "command": command_line("python -m training.reproduce questions", without_folders(config)),
        "about": (
            f"What the paper asks (section 1), answered on recordings that no training has heard. Small networks "
            f"({config.backbone} at {config.image_size} pixels) learn for {config.ssl_epochs} epochs without labels, "
            f"{config.epochs} or more with them; frozen networks of the package stand beside them."
        ),
        "runs": ("`noise` is a folder of recordings of rain, wind and the like. " if config.noise else "")
        + (
            f"Questions 1, 2 and 4 test on the {len(plan.test)} clips of fold {config.test_fold}, question 3 on folds "
            f"{', '.join(map(str, laboratory.folds))}; {seeds}, as far as they were finished; strict "
            f"folds but where a row says paper."
        ),
        "validation_clips": len(plan.validation),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        **answer_all(laboratory, chosen),
    }
    return json.loads(json.dumps(kept), parse_float=lambda text: round(float(text), 5))


def without_folders(config: QuestionsConfig) -> QuestionsConfig:
    """The same options, to be shown to others: folders by their names alone."""
    given = {name: getattr(config, name) for name in ("dataset", "output_dir", "noise")}
    names: dict[str, Any] = {n: Path(value).name for n, value in given.items() if value and Path(value).is_absolute()}
    return dataclasses.replace(config, **names, publish=None, budget_hours=None)


def _write(kept: dict[str, Any], folder: Path, pictures: Path) -> None:
    write_text(_made(folder / KEPT), json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    write_text(folder / PAGE, write_page(kept))
    for name, figure in draw(kept).items():
        save_figure(figure, pictures / f"questions_{name}.png")


def _made(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
