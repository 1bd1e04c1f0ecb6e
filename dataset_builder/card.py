"""The data card (README.md) of a built data set: its `configs` for `load_dataset`, and what was built."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from quaclrs.folds import SPLITS, FoldPlan, find_complete_folds, folds_of_recordings
from quaclrs.labels import CLASS_NAMES

from .shards import ShardSet, files_of_split
from .sources import SourceClip, SourceReport

_SYNTHETIC_NOTE = (
    "> **Synthetic.** Every clip was synthesised by quaclrs; none is a recording of anything. "
    "The sample proves that the plumbing works. It says nothing about accuracy on real streets.\n\n"
)


def write_card(
    folder: Path, clips: list[SourceClip], sets: set[ShardSet], reports: list[SourceReport]
) -> dict[str, Any]:
    """Write README.md into a folder whose shards lie in `data/`, and return the figures it shows.

    Args:
        folder: the data set's folder.
        clips: every clip with its recording and fold.
        sets: the shard sets that were written.
        reports: what was found, and missing, of each source.
    """
    folds = sorted({int(clip.fold or 0) for clip in clips})
    complete = find_complete_folds([int(c.fold or 0) for c in clips], [c.source for c in clips])
    synthetic = any(report.synthetic for report in reports)
    header = {
        "pretty_name": "UrbanSound13" + (" (synthetic sample)" if synthetic else ""),
        "license": "apache-2.0" if synthetic else "cc-by-nc-3.0",
        "task_categories": ["audio-classification"],
        "tags": ["audio", "urban-sound", "environmental-sound-classification"] + (["synthetic"] if synthetic else []),
        "size_categories": ["n<1K" if len(clips) < 1000 else "1K<n<10K" if len(clips) < 10_000 else "10K<n<100K"],
        "configs": _configs(clips, sorted(sets), complete),
    }
    figures = {
        "clips": len(clips),
        "clips_by_class": dict(Counter(clip.label for clip in clips)),
        "clips_by_source": dict(Counter(clip.source for clip in clips)),
        "recordings": len({clip.recording_id for clip in clips}),
        "complete_folds": list(complete),
        "synthetic": synthetic,
    }
    text = (
        f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n"
        f"# {header['pretty_name']}\n\n{_SYNTHETIC_NOTE if synthetic else ''}"
        "UrbanSound8K without `siren`, and four classes of sirens and traffic: 13 classes of urban sound, mono FLAC at "
        "48 kHz and at their true length, with folds in which no recording is in two places.\n\n"
        f"{_usage(complete)}\n## Clips by class and fold\n\n{_fold_table(clips, folds)}\n\n"
        f"{figures['recordings']} recordings. UrbanSound8K keeps its official folds; clips of the other classes are "
        "grouped by content (waveform cross-correlation) and whole groups dealt to ten folds. `fold_paper` deals those "
        "clips one by one, as the paper did; it leaks and serves only for comparison.\n\n"
        f"{_split_recordings(clips)}{_missing(reports)}## Licences\n\n{_licences(clips)}\n"
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    return figures


def _configs(clips: list[SourceClip], sets: list[ShardSet], complete: tuple[int, ...]) -> list[dict[str, Any]]:
    """`default` with one split, and a strict config a complete fold; all name the same files, so they cost no bytes."""
    configs: list[dict[str, Any]] = [
        {"config_name": "default", "default": True, "data_files": [{"split": "train", "path": "data/*.parquet"}]}
    ]
    if len(complete) < 2:
        return configs
    for fold in complete:
        plan = FoldPlan.for_fold(
            fold, [int(c.fold or 0) for c in clips], [c.source for c in clips], [str(c.recording_id) for c in clips]
        )
        configs.append(
            {
                "config_name": f"fold{fold}",
                "data_files": [{"split": split, "path": files_of_split(split, sets, plan)} for split in SPLITS],
            }
        )
    return configs


def _usage(complete: tuple[int, ...]) -> str:
    lines = ["```python", "from datasets import load_dataset", "", 'clips = load_dataset(".")["train"]']
    if len(complete) > 1:
        lines.append(f'split = load_dataset(".", "fold{complete[0]}")  # train, validation and test, strict protocol')
    return "\n".join([*lines, "```", ""])


def _fold_table(clips: list[SourceClip], folds: list[int]) -> str:
    counts = Counter((clip.label, clip.fold) for clip in clips)
    rows = ["| class | " + " | ".join(f"fold {f}" for f in folds) + " | all |", "|---|" + "---:|" * (len(folds) + 1)]
    for label in CLASS_NAMES:
        of_fold = [counts[label, f] for f in folds]
        if any(of_fold):
            rows.append(f"| {label} | " + " | ".join(map(str, of_fold)) + f" | {sum(of_fold)} |")
    return "\n".join(rows)


def _split_recordings(clips: list[SourceClip]) -> str:
    found = folds_of_recordings([int(c.fold or 0) for c in clips], [str(c.recording_id) for c in clips])
    split = {recording: folds for recording, folds in sorted(found.items()) if len(folds) > 1}
    if not split:
        return ""
    names = "; ".join(f"`{recording}` (folds {', '.join(map(str, folds))})" for recording, folds in split.items())
    return (
        f"UrbanSound8K's official folds split {len(split)} recordings: {names}. The folds stay official; the strict "
        "configs leave out the clips of a recording that is tested or validated on elsewhere.\n\n"
    )


def _missing(reports: list[SourceReport]) -> str:
    parts = [
        f"Missing clips of {r.source} by class:\n\n```\n{r.describe_missing()}\n```\n\n" for r in reports if r.missing
    ]
    return "".join(["## What is missing\n\n", *parts]) if parts else ""


def _licences(clips: list[SourceClip]) -> str:
    counts = Counter((clip.source, clip.licence) for clip in clips)
    lines = [f"- {source}: {licence} ({count} clips)" for (source, licence), count in sorted(counts.items())]
    if any(licence == "CC BY-NC 3.0" for _, licence in counts):
        lines.append("\nUrbanSound8K is non-commercial, so the whole is. `attribution` names each clip's origin.")
    return "\n".join(lines) + "\n"
