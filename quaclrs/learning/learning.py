"""`quaclrs.learn`: a classifier from a handful of labelled sounds, and what it is worth."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from ..errors import QuaclrsError
from ..evaluation.training_data import TrainingData
from ..inference.loading import load_classifier
from ..inference.timeline import SILENCE, UNSURE
from ..labels import OTHER
from ..locks import only_writer
from ..models.configuration_checks import labels_in_order
from ..saved_model import SavedModel, open_saved_model
from .background import plain
from .card import learned_card
from .clips import Clips
from .embeddings import Embedder, cache_folder, digest_of_encoder
from .head import HeadOptions
from .labelled import read_labelled
from .learner import Learner
from .page import report_page
from .report import LearnReport
from .saving import REPORT, SUMMARY, refuse_other_folder, save_learned
from .without_labels import collect_background, collect_unlabelled, sounds_in

if TYPE_CHECKING:
    from ..inference.classifier import AudioClassifier

Sources = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class LearnOptions:
    """Options of learning.

    Args:
        background: folders of sounds outside the classes.
        own_background: hear the background in the package too.
        keep_classes: add to the base's classes in place of having others; a class of the same name hears the new clips
            too.
        unlabelled: folder of sounds without labels to learn from as well, where held-out clips do not speak against it
            (see `docs/learn.md` for what that brings).
        model: folder or repository of the base; the model in the package where absent.
        by_content: find out which clips are of one recording, where neither a column nor a name says so.
        head: how the classifier is fitted.
        cache: folder of embeddings; that of `cache_folder` where absent.
    """

    background: tuple[str | os.PathLike[str], ...] = ()
    own_background: bool = True
    keep_classes: bool = False
    unlabelled: str | os.PathLike[str] | None = None
    model: str | os.PathLike[str] | None = None
    by_content: bool = True
    head: HeadOptions = field(default_factory=HeadOptions)
    cache: Path | None = None


@dataclass(frozen=True)
class Learned:
    """A classifier and its report; `report.to_dict()` is what lies in `learned.json` of its folder."""

    classifier: AudioClassifier
    report: LearnReport
    folder: Path | None


def learn(
    sources: Sources,
    output: str | os.PathLike[str] | None = None,
    options: LearnOptions | None = None,
    progress: bool | None = False,
    **more: Any,
) -> Learned:
    """Learn a classifier from labelled sounds.

    Args:
        sources: folders with a sub-folder a label, or tables, as `quaclrs.learning.labelled.read_labelled` takes them.
        output: folder for the model, with its card and `report.html`; nothing is kept where absent.
        options: see there.
        progress: show a bar on standard error; where None, on a terminal.
        more: options by their names, which win over `options`.

    Raises:
        QuaclrsError: no labelled sounds, a single class and no background, a file or folder that cannot be used, or
            another process that writes `output`.
    """
    options = dataclasses.replace(options or LearnOptions(), **more)
    if output is None:
        return _learn(sources, None, options, progress)
    refuse_other_folder(Path(output))
    with only_writer(Path(output), "--output"):
        return _learn(sources, Path(output), options, progress)


def _learn(sources: Sources, output: Path | None, options: LearnOptions, progress: bool | None) -> Learned:
    begun = time.perf_counter()
    given = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
    sounds = [sound for source in given for sound in read_labelled(source)]
    base = open_saved_model(options.model)
    if base.options.get("problem_type") == "multi_label_classification":
        raise QuaclrsError(f"{base.name} gives several labels a clip; learn from a model that gives one")
    given_labels, kept = {sound.label for sound in sounds}, base.labels if options.keep_classes else []
    _refuse_labels(given_labels, kept)
    around = [(Path(folder), sounds_in(folder, "--background")) for folder in options.background]
    without_labels = [] if options.unlabelled is None else sounds_in(options.unlabelled, "--unlabelled")
    classifier = load_classifier(options.model)
    embedder = Embedder(classifier, digest_of_encoder(base), options.cache or cache_folder())
    clips = Clips.of(sounds, embedder, progress)
    _refuse_lost_classes(given_labels, clips)
    labels = _labels_of(clips, base if options.keep_classes else None)
    background, namesakes = collect_background(options.own_background, around, embedder, base, labels, kept, progress)
    unlabelled = None
    if options.unlabelled is not None:
        unlabelled = collect_unlabelled(options.unlabelled, without_labels, embedder, progress)
    # One thread: matrices are small, and threads of BLAS wait for each other in busy loops wherever cores are shared.
    with threadpool_limits(1, "blas"):
        learner = Learner(
            base, labels, clips, background, options.head, options.keep_classes, options.by_content, unlabelled
        )
        fitted = learner.learn()
        report = learner.report(fitted, begun)
        report = dataclasses.replace(report, background_dropped=namesakes | report.background_dropped)
    with tempfile.TemporaryDirectory() as nowhere:
        folder = output or Path(nowhere) / "model"
        summary = json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n"
        files = {SUMMARY: summary.encode(), REPORT: report_page(report).encode()}
        heard = TrainingData.of_model(base.options.get("training_data"))
        if output is not None:
            every = [sound.file for sound in clips.sounds] + [file for _, found in around for file in found]
            names = ", ".join(Path(source).name or "sounds" for source in map(os.path.abspath, given))
            heard |= TrainingData.of_files(dict.fromkeys([*every, *without_labels]), names)
        save_learned(folder, base, fitted.head, labels, learned_card(report, base), files, heard)
        learned = load_classifier(folder)
    return Learned(learned, report, output)


def _refuse_labels(labels: Collection[str], of_base: Sequence[str]) -> None:
    """Raise a `QuaclrsError` where a label has another meaning in answers, or two of them are one in other letters."""
    known = {plain(label): label for label in [*of_base, OTHER]}
    for label in sorted(labels):
        if plain(label) in (SILENCE, UNSURE):
            raise QuaclrsError(f"the label {label!r} is an answer for what nobody hears or knows; rename it")
        if (set(label) & set("/\\") or label in (".", "..")) and label not in of_base:
            raise QuaclrsError(f"the label {label!r} can name no folder, as `quaclrs suggest` makes one; rename it")
        if (same := known.setdefault(plain(label), label)) != label and label not in of_base:
            raise QuaclrsError(f"the labels {label!r} and {same!r} differ only in writing; name both {same!r}")


def _refuse_lost_classes(labels: set[str], clips: Clips) -> None:
    """Raise a `QuaclrsError` for a label of which no clip can be heard: its model would not be the one asked for."""
    if (lost := labels - {sound.label for sound in clips.sounds} - {OTHER}) and clips.sounds:
        named = ", ".join(sorted(lost))
        raise QuaclrsError(f"no clip of {named} can be heard (see above); mend its clips, or leave the class out")


def _labels_of(clips: Clips, base: SavedModel | None) -> list[str]:
    """Names of the model's classes, `other` last."""
    found = sorted({sound.label for sound in clips.sounds} - {OTHER})
    if not found:
        raise QuaclrsError("no sound of a class can be heard; give a folder of sounds for each label")
    if base is not None:
        of_base = [label for label in base.labels if label != OTHER]
        found = [*of_base, *(label for label in found if label not in of_base)]
    return labels_in_order(dict(enumerate([*found, OTHER])))
