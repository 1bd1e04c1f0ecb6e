"""The prose and tables of the data card."""

from __future__ import annotations

import pandas as pd

from quaclrs.evaluation.reports.tables import markdown_table
from quaclrs.folds import folds_of_recordings
from quaclrs.labels import SIRENNET, URBANSOUND8K
from quaclrs.neighbours import leak_by_class

from ..sources.report import SourceReport
from ..table.pictures import CONTENT_OF_KIND
from .class_pictures import PICTURE_NAME

_SYNTHETIC_NOTE = (
    "> **Synthetic.** Every clip was synthesised by quaclrs; none is a recording of anything. "
    "The sample shows that everything works. It says nothing about accuracy on real streets.\n\n"
)


def describe(title: str, clips: pd.DataFrame, reports: list[SourceReport], figures: dict) -> str:
    """The card below its YAML header.

    Args:
        title: of the page.
        clips: every clip with label, fold, source, recording_id, duration, original format and licence.
        reports: what was found, and missing, of each source.
        figures: those of the build (`complete_folds`, `synthetic`, ...).
    """
    parts = [
        f"# {title}\n\n{_SYNTHETIC_NOTE if figures['synthetic'] else ''}{_summary(clips)}",
        _usage(figures["complete_folds"], figures["kind"]),
        f"## Clips by class and fold\n\n{_fold_table(clips)}"
        + (f"\n\n![A typical clip of every class]({PICTURE_NAME})" if figures["kind"] == "audio" else ""),
        f"## Durations and formats\n\n{_duration_table(clips)}\n\n{_formats(clips)}",
        f"## Folds\n\n{_folds(clips, figures)}",
        _missing(reports),
        _remarks(reports),
        f"## Rows\n\n{_rows(figures)}\n\n{_COLUMNS}",
        f"## Licences and attribution\n\n{_licences(clips)}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(clips: pd.DataFrame) -> str:
    return (
        f"{clips['label'].nunique()} classes of urban sound: UrbanSound8K and recordings of sirens and traffic. "
        f"{len(clips)} clips of {clips['recording_id'].nunique()} recordings"
        ", with folds made so that no recording that is tested on is trained on."
    )


def _usage(complete: list[int], kind: str) -> str:
    lines = ["```python", "from datasets import load_dataset", "", 'clips = load_dataset("PATH_OR_REPO")["train"]']
    if len(complete) > 1:
        lines.append(f'fold = load_dataset("PATH_OR_REPO", "fold{complete[0]}")  # train, validation, test')
    if kind == "audio":
        lines += [
            "",
            "from quaclrs import load_urbansound13  # the same; audio stays encoded: no torchcodec, no FFmpeg",
            "",
            'clips = load_urbansound13("PATH_OR_REPO")',
        ]
    return "\n".join([*lines, "```"])


def _fold_table(clips: pd.DataFrame) -> str:
    counts = pd.crosstab(clips["label"], clips["fold"])
    recordings = clips.groupby("label")["recording_id"].nunique()
    rows = [
        [label, *row, sum(row), recordings[label]]
        for label, row in zip(counts.index, counts.values.tolist(), strict=True)
    ]
    rows.append(["**all**", *counts.sum().tolist(), len(clips), clips["recording_id"].nunique()])
    return markdown_table(["class", *(f"fold {fold}" for fold in counts.columns), "clips", "recordings"], rows)


def _duration_table(clips: pd.DataFrame) -> str:
    rows = []
    for label, seconds in clips.groupby("label")["duration"]:
        q = seconds.quantile([0, 0.25, 0.5, 0.75, 1]).tolist()
        rows.append([label, *(f"{value:.2f}" for value in q), f"{(seconds.round(2) == 3.0).mean():.0%}"])
    header = ["class", "shortest", "25 %", "median", "75 %", "longest", "exactly 3 s"]
    return "Seconds:\n\n" + markdown_table(header, rows)


def _formats(clips: pd.DataFrame) -> str:
    formats = clips.groupby(["source", "original_sampling_rate", "original_channels"]).size()
    rows = [[source, f"{rate} Hz", channels, count] for (source, rate, channels), count in formats.items()]
    return (
        "Rates and channels met in the sources (stored: mono, 48 kHz, FLAC of 16 bits, true length). Length and format "
        "can betray the class: compare any score with that of a classifier that sees nothing else.\n\n"
        + markdown_table(["source", "sampling rate", "channels", "clips"], rows)
    )


def _folds(clips: pd.DataFrame, figures: dict) -> str:
    complete = ", ".join(map(str, figures["complete_folds"])) or "none"
    text = (
        "`fold` is strict: UrbanSound8K keeps its official folds. Clips of the other classes are grouped by content "
        "(the highest normalised cross-correlation of their waveforms over all lags); whole groups are dealt to ten "
        "folds, neighbours by file number together. `fold_paper` deals those clips one by one, as the paper did: "
        "slices of one recording then train and test, so its scores are optimistic; it serves only for comparison.\n\n"
        f"Folds with clips of every source: {complete}. The configs `foldN` test on one of these, validate on the one "
        "before it and train on all the rest."
    )
    text += (
        "\n\nHow well the grouping works, measured on 518 public siren and traffic clips (`python -m "
        "benchmarks.grouping --sirennet DIR`): all 240 pairs whose waveforms correlate above 0.9 by direct computation "
        "are in one group. **The known remaining leak** is parts of one recording that do not overlap. Of 296 such "
        "pairs of police clips, whose file names tell, overlap finds none; equal odd lengths with a matching spectrum "
        "where one part ends and the next begins find 254, with no false pair. That cue was chosen on these clips, "
        "so expect less of it elsewhere, and nothing where clips were cut to a round length such as 3.00 s."
    )
    text += (
        "\n\nWhat a random split does: logistic regression on means and deviations of the mel bands scores 84.5 % when "
        "clips are split at random and 47.8 % under the strict folds, as slices of one recording give the answer away "
        "(2,478 clips, 1,964 of UrbanSound8K and 514 public siren and traffic clips; "
        "`python -m benchmarks.random_splits --dataset DIR`)."
    )
    text += _neighbour_leak(clips)
    found = folds_of_recordings(clips["fold"].tolist(), clips["recording_id"].tolist())
    split = {recording: folds for recording, folds in sorted(found.items()) if len(folds) > 1}
    if split:
        names = "; ".join(f"`{recording}` (folds {', '.join(map(str, folds))})" for recording, folds in split.items())
        text += (
            f"\n\nUrbanSound8K's official folds split {len(split)} recordings: {names}. The folds stay official; the "
            "`foldN` configs leave out the clips of a recording that is tested or validated on elsewhere."
        )
    return text


def _neighbour_leak(clips: pd.DataFrame) -> str:
    known = clips[clips["nearest_clip"].notna()]
    columns = (known[name].tolist() for name in ("label", "clip_id", "nearest_clip", "recording_id", "fold"))
    leaks = leak_by_class(*columns)
    if not leaks:
        return ""
    header = ["class", "clips", "nearest is a neighbour by number", "and in another fold", "by chance"]
    rows = [
        [label, leak.clips, f"{leak.adjacent:.1%}", f"{leak.leaking:.1%}", f"{leak.chance:.1%}"]
        for label, leak in leaks.items()
    ]
    return (
        "\n\n**What still leaks.** Clips cut in order from a long recording share no sound, so content cannot group "
        "them. Their numbers betray them: the clip of another group that sounds most alike (quantiles of the mel "
        "spectrum) lies within two file numbers far more often than by chance. So neighbours are dealt to one fold, "
        "and only the ends of such runs leak:\n\n" + markdown_table(header, rows)
    )


def _missing(reports: list[SourceReport]) -> str:
    parts = [
        f"Missing clips of {report.source} by class:\n\n```\n{report.describe_missing()}\n```"
        for report in reports
        if report.missing
    ]
    return "\n\n".join(["## What is missing", *parts]) if parts else ""


def _remarks(reports: list[SourceReport]) -> str:
    lines = [f"- {report.source}: {note}" for report in reports for note in report.notes]
    for report in reports:
        if report.broken:
            lines.append(f"- {report.source}: left out as they cannot be decoded: {', '.join(sorted(report.broken))}")
        if report.duplicates:
            listed = ", ".join(f"{clip} (as {kept})" for clip, kept in report.duplicates.items())
            lines.append(f"- {report.source}: left out as another clip holds the same samples: {listed}")
        if report.synthetic and not all(other.synthetic for other in reports):
            lines.append(f"- {report.source}: these clips are synthetic, the others are not")
    return "\n".join(["## Remarks\n", *lines]) if lines else ""


def _rows(figures: dict) -> str:
    parameters = ", ".join(f"`{name}` {value}" for name, value in figures["log_mel"].items())
    purpose = "The front end it is meant for" if figures["kind"] == "audio" else "The front end that drew it"
    return f"Each row holds {CONTENT_OF_KIND[figures['kind']]}. {purpose}: {parameters}."


_COLUMNS = """\
| column | meaning |
|---|---|
| `audio` or `image` | see above |
| `label` | class |
| `clip_id` | source and original file name without its ending; of an augmented copy followed by `#` and its variant |
| `variant` | of pictures alone: `original`, or the paper's name of the augmentation |
| `source` | data set that the clip comes from |
| `recording_id` | the recording that it was cut from: never split it over train and test |
| `nearest_clip` | of clips grouped by content: the clip of another recording in its class that sounds most alike |
| `fold`, `fold_paper` | strict and paper dealing, 1 to 10 |
| `start`, `end`, `salience` | position in the recording in seconds and salience, where UrbanSound8K states them |
| `duration` | seconds |
| `original_sampling_rate`, `original_channels` | format of the source file |
| `licence`, `attribution` | of the clip |"""


def _licences(clips: pd.DataFrame) -> str:
    counts = clips.groupby(["source", "licence"]).size()
    lines = [f"- {source}: {licence} ({count} clips)" for (source, licence), count in counts.items()]
    licences = set(clips["licence"])
    notes = []
    if "CC BY-NC 3.0" in licences:
        notes.append("UrbanSound8K is non-commercial, so the whole is.")
    if SIRENNET in set(clips["source"]) and "unknown" in set(clips[clips["source"] == SIRENNET]["licence"]):
        notes.append(
            "The counts of the siren and traffic clips differ from the published sireNNet (400, 400, 454, 421), so its "
            "licence (CC BY 4.0) is not claimed for them."
        )
    if URBANSOUND8K in set(clips["source"]):
        notes.append("`attribution` names each clip's origin.")
    return "\n".join(lines) + "\n\n" + " ".join(notes)
