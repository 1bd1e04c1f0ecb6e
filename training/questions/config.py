"""Options of `python -m training.reproduce questions`."""

from __future__ import annotations

from dataclasses import dataclass

from quaclrs.errors import QuaclrsError

from ..runs.config import ALL_RECORDINGS
from ..runs.options import check_options, option, parse_numbers, refuse_missing


@dataclass
class QuestionsConfig:
    """The runs behind the answers to the paper's four questions."""

    dataset: str = option("", "folder that the builder wrote, or a Hub repository")
    output_dir: str = option("", "folder for the runs and the page; finished runs in it are not repeated")
    noise: str | None = option(None, "folder of recorded noise to test in, beside Gaussian noise")
    publish: str | None = option(None, "docs folder that the page, its figures and its data are written to as well")
    test_fold: int = option(1, "fold to test on, but for question 3, which tests on every complete fold", above=0)
    backbone: str = option("mobilenetv3_small_050", "small network of all runs that train one")
    image_size: int = option(64, "height and width of its pictures in pixels", above=0)
    recordings: str = option("1,3,10,all", "labelled recordings a class, a comma between")
    seeds: str = option("0,1,2,3,4", "seeds of the choice of recordings and of every draw, a comma between")
    encoder_seeds: str = option("0,1,2", "seeds of the self-supervised encoders; label seeds take them in turn")
    ssl_epochs: int = option(20, "epochs of each self-supervised training", above=0)
    further_epochs: int = option(2, "epochs of the package's YAMNet without labels", above=0)
    quasi_epochs: int = option(5, "epochs of quasi-supervision, which begins with an encoder", above=0)
    steps: int = option(300, "steps of the optimiser, at least, with labels", above=0)
    epochs: int = option(15, "epochs, at least, with labels", above=0)
    budget_hours: float | None = option(
        None, "begin no further run after so many hours; what is finished then is answered", above=0
    )
    jobs: int = option(1, "runs side by side, which share the processors", above=0)

    def __post_init__(self) -> None:
        refuse_missing(self, ("dataset", "output_dir"))
        self.recordings, self.seeds = str(self.recordings), str(self.seeds)  # YAML reads 1 as a number
        self.encoder_seeds = str(self.encoder_seeds)
        check_options(self)
        self.amounts = [amount.strip() for amount in self.recordings.split(",")]
        if self.amounts[-1] != ALL_RECORDINGS or not all(a.isdecimal() and int(a) for a in self.amounts[:-1]):
            raise QuaclrsError(f"--recordings is {self.recordings}; give numbers above 0, and all as the last")
        self.all_seeds = parse_numbers("--seeds", self.seeds)
        self.all_encoder_seeds = parse_numbers("--encoder-seeds", self.encoder_seeds)
