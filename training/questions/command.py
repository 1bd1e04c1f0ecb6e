"""`python -m training.reproduce questions`: run what the answers need, and write the page."""

from __future__ import annotations

from pathlib import Path

from quaclrs.files import refuse_unwritable
from quaclrs.locks import only_writer

from ..runs.options import parse_config
from ..runs.warm import WarmProcesses
from .config import QuestionsConfig
from .laboratory import Laboratory


def main(arguments: list[str] | None = None) -> int:
    """The command; its options are those of `QuestionsConfig`."""
    config = parse_config(QuestionsConfig, arguments)
    with only_writer(Path(config.output_dir)):
        refuse_unwritable(config.output_dir, "--output-dir")
        with WarmProcesses(config.jobs) as processes:
            laboratory = Laboratory(config, processes)
            chosen = laboratory.work()
    print(chosen)
    return 0
