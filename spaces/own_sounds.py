"""A visitor's own sounds: learned from what was uploaded, tried, and taken home. Nothing here knows of the page."""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis import check_sound

from quaclrs import QuaclrsError, load_classifier
from quaclrs.errors import QuaclrsWarning
from quaclrs.inference.hearing import Heard
from quaclrs.learning import LearnOptions, learn
from quaclrs.learning.page import report_page

#: Labels that can be given at once, and clips of all of them.
MOST_LABELS, MOST_CLIPS = 10, 200


@dataclass(frozen=True)
class OwnModel:
    """A learned model and its report.

    Attributes:
        place: folder of everything; it goes when the visitor does.
        model: folder of the model.
        archive: the same as a file to take home.
        page: the report.
        left_out: a line on each clip that was left out.
    """

    place: str
    model: str
    archive: str
    page: str
    left_out: list[str]


def learn_own(labelled: Sequence[tuple[str, Sequence[str]]]) -> OwnModel:
    """Learn from uploaded files.

    Args:
        labelled: label and files of each class; those without a label or files are passed over.

    Raises:
        QuaclrsError: no class, too many clips, or a file that cannot be heard.
    """
    given = [(label.strip(), list(files)) for label, files in labelled if label and label.strip() and files]
    if not given:
        raise QuaclrsError("no sounds yet: name one and upload a few clips of it")
    if sum(len(files) for _, files in given) > MOST_CLIPS:
        raise QuaclrsError(f"there are more than {MOST_CLIPS} clips; upload fewer, or use quaclrs learn at home")
    place = Path(tempfile.mkdtemp(prefix="own-", dir=os.environ.get("GRADIO_TEMP_DIR")))
    try:
        rows = [("file", "label")]
        for label, files in given:
            for file in files:
                check_sound(file)
                target = place / "sounds" / str(len(rows)) / Path(file).name
                target.parent.mkdir(parents=True)
                shutil.copyfile(file, target)
                rows.append((target.relative_to(place).as_posix(), label))
        with (place / "sounds.csv").open("w", newline="", encoding="utf-8") as table:
            csv.writer(table).writerows(rows)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", QuaclrsWarning)
            learned = learn(place / "sounds.csv", place / "model", LearnOptions(cache=place / "cache"))
        archive = shutil.make_archive(str(place / "my_sounds"), "zip", place / "model")
        told = [str(warning.message).replace(f"{place}{os.sep}", "") for warning in caught]
        return OwnModel(str(place), str(place / "model"), archive, report_page(learned.report), told)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(place / "sounds", ignore_errors=True)


def try_own(own: OwnModel | None, file: str | None) -> Heard:
    """Label a sound by a learned model.

    Raises:
        QuaclrsError: nothing was learned yet, or it is gone, or the file cannot be heard.
    """
    if own is None or not os.path.isdir(own.model):
        raise QuaclrsError("nothing is learned yet: upload clips and press Learn")
    check_sound(file)
    assert file is not None
    return next(load_classifier(own.model).hear([file], names=[Path(file).name]))


def forget(own: OwnModel | None) -> None:
    """Delete all that belongs to a visitor's model."""
    if own is not None:
        shutil.rmtree(own.place, ignore_errors=True)
