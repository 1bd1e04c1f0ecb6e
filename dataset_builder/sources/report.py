"""The report of a source of clips: its clips, and what is missing, broken or noteworthy."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from quaclrs.labels import CLASS_NAMES

#: The embedded sample puts a file of this name into its folders; what is built from them says that it is synthetic.
SYNTHETIC_MARKER = "SYNTHETIC.md"


#: Licence and attribution of its clips.
SYNTHETIC_PROVENANCE = (
    "Apache-2.0",
    "synthesised by quaclrs, not a recording: it shows that everything works, and says nothing about streets",
)


@dataclass(frozen=True)
class SourceClip:
    """A clip on disk before it is decoded. Clips that come without recording or fold get them later."""

    clip_id: str
    path: Path
    label: str
    source: str
    licence: str
    attribution: str
    recording_id: str | None = None
    fold: int | None = None
    fold_paper: int | None = None
    start: float | None = None
    end: float | None = None
    salience: int | None = None
    nearest_clip: str | None = None


@dataclass
class SourceReport:
    """Content of a source: its clips, and the clips that should be there but are not.

    Attributes:
        source: `urbansound8k`, `sirennet` or `extra`.
        clips: what is built.
        synthetic: whether the folder says that it was synthesised.
        missing: (class, fold or "") -> number of clips.
        notes: lines to print: what a reader must know about this source.
        broken: clip_id -> reason, of the clips that cannot be decoded and were left out of `clips`.
        fingerprints: clip_id -> hash of the decoded samples, of `clips`, once they have been decoded.
        duplicates: clip_id -> clip_id that is kept, of the clips that were left out as another holds their samples.
    """

    source: str
    clips: list[SourceClip]
    synthetic: bool = False
    missing: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, bytes] = field(default_factory=dict, repr=False)
    duplicates: dict[str, str] = field(default_factory=dict)

    def describe_missing(self) -> str:
        """One line a class with the missing clips by fold; empty where nothing is missing."""
        by_class: dict[str, list[str]] = defaultdict(list)
        for (label, fold), count in sorted(self.missing.items(), key=lambda item: (item[0][0], int(item[0][1] or 0))):
            by_class[label].append(f"fold {fold}: {count}" if fold else str(count))
        return "\n".join(f"  {label:<18}{', '.join(folds)}" for label, folds in by_class.items())


def is_synthetic(folder: Path) -> bool:
    """True if a source's root folder says that its clips were synthesised."""
    return (folder / SYNTHETIC_MARKER).is_file()


def class_names_of(reports: Iterable[SourceReport]) -> list[str]:
    """The 13 classes, whether or not clips of them were found, and every further class of the reports, sorted."""
    return sorted({*CLASS_NAMES, *(clip.label for report in reports for clip in report.clips)})
