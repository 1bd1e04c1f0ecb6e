"""Choose the clips that a model is evaluated on, and map their labels to its classes."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

import numpy as np

from ..audio import AudioError, AudioWarning, open_sound
from ..data import (
    SYNTHETIC_WARNING,
    class_names,
    is_synthetic,
    leak_warning,
    load_urbansound13,
    select_split,
)
from ..errors import QuaclrsError, print_error
from ..folds import PAPER_PROTOCOL_WARNING, FoldProtocol, fold_column
from ..inference.windows import Crop, Window, windows_of
from ..labels import OTHER, source_of
from ..models import LogMelConfig
from ..models.waveforms import Channel
from .foreign_dataset import NO_LABEL, ForeignClips, LabelMap, is_folder_of_sounds, label_names, load_foreign_dataset
from .reports.tables import counted
from .stored_digest import stored_digest

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class EvaluationClips:
    """Clips with labels that a model knows.

    Attributes:
        rows: `datasets.Dataset` with a column `audio`, still encoded, in the order of what follows.
        clip_ids: of every clip; the number of its row where the data set has none.
        folds: of every clip; None for those of a data set that is not UrbanSound13.
        labels: (clips,) int64, indices into `classes`.
        classes: what a prediction may be: the model's classes in its order, or those of them that are mapped to.
        sources: of every clip: its data set in UrbanSound13, elsewhere the one that its class comes from.
        fold, protocol: of UrbanSound13; None where no fold was asked for.
        split: of that fold or of another data set; None for every clip.
        left_out: label -> clips that are not evaluated for it.
        warnings: what makes the figures something else than a test.
        labels_from: names of the tables that labels were taken from, of a folder of sounds.
        broken: clip_id -> why it cannot be decoded, of clips that were left out for it.
    """

    rows: Dataset
    clip_ids: list[str]
    folds: list[int | None]
    labels: np.ndarray
    classes: tuple[str, ...]
    sources: list[str]
    fold: int | None
    protocol: FoldProtocol | None
    split: str | None
    left_out: dict[str, int]
    warnings: tuple[str, ...]
    labels_from: tuple[str, ...] = ()
    broken: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def description(self) -> str:
        """The choice of clips in words."""
        if self.fold is not None:
            return f"{self.split} split of fold {self.fold}, {self.protocol} protocol"
        return "every clip" if self.split is None else f"split {self.split}"

    @property
    def files(self) -> list[str]:
        """Name of the file of every clip; its `clip_id` where the data set does not tell."""
        paths = self.rows.select_columns("audio").flatten()["audio.path"][:]
        return [path or clip_id for path, clip_id in zip(paths, self.clip_ids, strict=True)]

    def decode(
        self,
        front_end: LogMelConfig,
        broken: dict[int, str] | None = None,
        channel: Channel | None = None,
        crop: Crop = "whole",
    ) -> Iterator[tuple[int, Window]]:
        """Place and windows of every clip, one after the other, as a model hears them.

        Args:
            front_end: of the model.
            broken: takes the clips that cannot be decoded, which are passed over: place -> why.
            channel, crop: as of `AudioClassifier.predict`.

        Raises:
            AudioError: a clip cannot be decoded, or has no audio, and `broken` is None.
        """
        for place, (clip_id, audio) in enumerate(self._sounds()):
            try:
                content, name = _content_of(clip_id, audio)
                for window in windows_of(content, front_end, None, channel, crop, name):
                    yield place, window
            except AudioError as error:
                if broken is None:
                    raise AudioError(f"{error}, or leave it out by --skip-broken") from error
                broken[place] = str(error)

    def digests(self, places: Sequence[int]) -> Iterator[bytes]:
        """`flac_digest` of the clips at these places, each as the builder would store it; b"" of a broken one."""
        for place in places:
            try:
                content, name = _content_of(self.clip_ids[place], self.rows[place]["audio"] or {})
            except AudioError:
                yield b""
            else:
                with catch_warnings():  # of damage, which is said where the clip is classified
                    simplefilter("ignore", AudioWarning)
                    digest = stored_digest(content, name)
                yield digest

    def refuse_broken(self) -> None:
        """Raise an `AudioError` where clips cannot even be opened, which takes no time; name all of them on stderr."""
        reasons = []
        for clip_id, audio in self._sounds():
            try:
                with open_sound(*_content_of(clip_id, audio)):
                    pass
            except AudioError as error:
                reasons.append(str(error))
                print_error(error, "broken")
        if reasons:
            others = f" ({len(reasons) - 1} more broken clips are listed above)" if len(reasons) > 1 else ""
            raise AudioError(f"{reasons[0]}{others}, or leave broken clips out by --skip-broken")

    def _sounds(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for clip_id, row in zip(self.clip_ids, self.rows.select_columns("audio"), strict=True):
            yield clip_id, row["audio"] or {}

    def without(self, broken: Mapping[int, str]) -> EvaluationClips:
        """The same without the clips that `decode` passed over; a `QuaclrsError` where none is left."""
        kept = [place for place in range(len(self)) if place not in broken]
        if not kept:
            raise QuaclrsError(f"none of {len(self)} clips can be decoded, the first as {broken[0]}")

        return dataclasses.replace(
            self,
            rows=self.rows.select(kept),
            labels=self.labels[kept],
            broken={self.clip_ids[place]: reason for place, reason in broken.items()},
            clip_ids=[self.clip_ids[place] for place in kept],
            folds=[self.folds[place] for place in kept],
            sources=[self.sources[place] for place in kept],
        )


def choose_clips(
    path_or_repo: str | os.PathLike[str],
    model_classes: Sequence[str],
    fold: int | None = None,
    split: str | None = None,
    protocol: FoldProtocol = "strict",
    label_map: LabelMap | None = None,
    label_column: str | None = None,
    only_mapped_classes: bool = False,
) -> EvaluationClips:
    """Load a data set and keep the clips whose label is a class of the model.

    Args:
        path_or_repo: UrbanSound13 in a folder or on the Hub; with a label map any data set, and with or without one a
            folder of sounds with their labels (see `label_sounds`).
        model_classes: in the order of the model's output.
        fold: test fold of UrbanSound13; without it every clip.
        split: of that fold, `test` where absent; or of another data set.
        protocol: `strict` or `paper`, for a fold.
        label_map: their labels to the model's classes; without it labels are classes, and all must be.
        label_column: where the labels are; `label`, or what a table in a folder of sounds calls it, where absent.
        only_mapped_classes: whether a prediction may only be a class that the map leads to.

    Raises:
        QuaclrsError: the data set cannot be loaded, its classes differ from the model's, the map names a class that the
            model does not know, or no clip is left.
    """
    foreign = None
    if fold is None and (label_map is not None or is_folder_of_sounds(path_or_repo)):
        foreign = load_foreign_dataset(
            path_or_repo, split, label_column, model_classes if label_map is None else label_map
        )
        dataset, rows, split = foreign.rows, foreign.rows, foreign.split
        names = label_names(rows, foreign.label_column)
    else:
        split = split or (None if fold is None else "test")
        dataset = _load_urbansound13(path_or_repo, or_foreign=fold is None)
        rows = dataset if fold is None or split is None else select_split(dataset, fold, split, protocol)
        names = label_names(rows, label_column or "label")
    if label_map is None:
        _refuse_other_classes(
            path_or_repo,
            set(names) - {NO_LABEL} if foreign else class_names(rows),
            model_classes,
            may_lack=foreign is not None,
        )
        label_map = {name: name for name in model_classes}
    classes = _open_classes(label_map, model_classes, only_mapped_classes)
    found = [label_map.get(name) for name in names]
    left_out = Counter(name for name, ours in zip(names, found, strict=True) if ours is None)
    if len(names) == left_out.total():
        raise QuaclrsError(
            f"no clip of {path_or_repo} is left to evaluate; its labels are {listed(left_out)}: name them in a "
            "--label-map, or label the sounds by sub-folders or a table"
        )
    kept = [place for place, ours in enumerate(found) if ours is not None]
    rows = rows.select(kept)
    labels = [classes.index(ours) for ours in found if ours is not None]
    is_urbansound13 = {"fold", "source", "recording_id"} <= set(rows.column_names)
    if is_urbansound13 and foreign:
        dataset = load_urbansound13(path_or_repo)  # checked as such
    return EvaluationClips(
        rows=rows,
        clip_ids=rows["clip_id"][:] if "clip_id" in rows.column_names else [str(place) for place in kept],
        folds=rows[fold_column(protocol)][:] if is_urbansound13 else [None] * len(rows),
        labels=np.asarray(labels, dtype=np.int64),
        classes=classes,
        sources=rows["source"][:] if is_urbansound13 else [source_of(classes[i]) for i in labels],
        fold=fold,
        protocol=None if fold is None else protocol,
        split=None if is_urbansound13 and fold is None else split,
        left_out=dict(left_out.most_common()),
        warnings=tuple(_warnings(dataset, rows, split, protocol)) if is_urbansound13 else _warnings_of(foreign),
        labels_from=foreign.labels_from if foreign else (),
    )


def _content_of(clip_id: str, audio: Mapping[str, Any]) -> tuple[Any, str]:
    """Path or bytes of a clip, and its name for messages."""
    content = audio.get("bytes") or audio.get("path")
    if not content:
        raise AudioError(f"clip {clip_id} has no audio; leave it out of the data set")
    return content, audio.get("path") or f"clip {clip_id}"


def listed(names: Collection[str], most: int = 10) -> str:
    """Names in one line, of many the first."""
    return ", ".join(list(names)[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _load_urbansound13(name: str | os.PathLike[str], or_foreign: bool) -> Dataset:
    try:
        return load_urbansound13(name)
    except QuaclrsError as error:
        if not or_foreign:
            raise
        raise QuaclrsError(f"{error} (or, if it is another data set, give --label-map)") from error


def _refuse_other_classes(name: Any, theirs: Collection[str], ours: Collection[str], may_lack: bool) -> None:
    only_ours = set(ours) - set(theirs) - {OTHER}  # which is of models, never of data sets
    lists = {"the data set": sorted(set(theirs) - set(ours)), "the model": sorted(only_ours)}
    if may_lack:
        del lists["the model"]
    differing = "; ".join(f"only {who} has {', '.join(classes)}" for who, classes in lists.items() if classes)
    if differing:
        raise QuaclrsError(f"the classes of data set {name} and of the model differ: {differing}; give a --label-map")


def _open_classes(label_map: LabelMap, model_classes: Sequence[str], only_mapped_classes: bool) -> tuple[str, ...]:
    mapped = {ours for ours in label_map.values() if ours is not None}
    if unknown := sorted(mapped - set(model_classes)):
        raise QuaclrsError(
            f"the label map leads to {', '.join(unknown)}, which the model does not know; its classes are "
            f"{', '.join(model_classes)}"
        )
    if not only_mapped_classes:
        return tuple(model_classes)
    if len(mapped) < 2:
        only = min(mapped)
        raise QuaclrsError(f"a prediction could only be {only}; map to more classes or drop --only-mapped-classes")
    return tuple(name for name in model_classes if name in mapped)


def _warnings_of(foreign: ForeignClips | None) -> tuple[str, ...]:
    if foreign is None or not foreign.absent:
        return ()
    return (f"{', '.join(foreign.labels_from)} lists {counted(foreign.absent, 'sound')} that cannot be found",)


def _warnings(dataset: Dataset, rows: Dataset, split: str | None, protocol: FoldProtocol) -> Iterator[str]:
    if split not in (None, "test"):
        yield f"the {split} split is not a test"
    if protocol == "paper":
        yield PAPER_PROTOCOL_WARNING
    elif leak := leak_warning(dataset):
        yield leak
    if is_synthetic(rows):
        yield SYNTHETIC_WARNING
