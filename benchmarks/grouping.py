"""Quality, time and memory of the search for clips of one recording.

`python -m benchmarks.grouping --sirennet DIR` compares the groups with direct correlation of every pair of a class, and
the police clips with their file names, which show the recordings (no grouping ever reads a name).
"""

from __future__ import annotations

import re
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr

from dataset_builder.recordings.leaks import LeakCheck, highest_correlations
from quaclrs.audio import find_audio_files, read_recording
from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record
from quaclrs.grouping import GroupingConfig, group_recordings
from quaclrs.grouping.seams import ClipEnds, SeamConfig, clip_ends, find_seams
from quaclrs.labels import SIRENNET_CLASSES

THRESHOLDS = tuple(np.round(np.arange(0.80, 0.96, 0.01), 2).tolist())


@dataclass(frozen=True)
class ClassClips:
    """Decoded clips of a class: file stems, and mono waveforms (samples,) with their rates in Hz."""

    names: list[str]
    clips: list[tuple[np.ndarray, int]]

    @classmethod
    def read(cls, folder: Path) -> ClassClips:
        files = find_audio_files(folder)
        recordings = [read_recording(file) for file in files]
        return cls([f.stem for f in files], [(r.waveform.mean(axis=0), r.sampling_rate) for r in recordings])


def pair_counts(labels: np.ndarray, recordings: np.ndarray) -> tuple[int, int, int]:
    """Pairs of one recording, those of them in one group, and pairs of two recordings in one group."""
    upper = np.triu(np.ones((len(labels), len(labels)), dtype=bool), 1)
    same, together = recordings[:, None] == recordings, labels[:, None] == labels
    return int((same & upper).sum()), int((same & together & upper).sum()), int((~same & together & upper).sum())


def compare_with_direct_correlation(clips: list[tuple[np.ndarray, int]], labels: np.ndarray) -> tuple[int, int]:
    """Pairs that direct correlation of 0.75 s templates at 4 kHz puts above 0.9, and those of them in one group."""
    check = LeakCheck(sampling_rate=4000, measures=("template",))
    highest = highest_correlations([soxr.resample(x, rate, 4000).astype(np.float32) for x, rate in clips], check)
    above = np.triu(np.nan_to_num(highest["template"]) > check.threshold, 1)
    return int(above.sum()), int((above & (labels[:, None] == labels)).sum())


def leave_one_recording_out(ends: list[ClipEnds], recordings: np.ndarray) -> tuple[int, int, int]:
    """Count pairs as `pair_counts` does, each recording by a threshold that was chosen on the others.

    For each recording the lowest threshold is taken at which no two of the other recordings are linked. The rule and
    its other parameters were chosen on all of them, so this too is optimistic.
    """
    seams_at = {t: find_seams(ends, SeamConfig(threshold=t, most_by_chance=1.0)) for t in THRESHOLDS}
    total = found = false = 0
    for left_out in sorted(set(recordings)):
        for threshold in THRESHOLDS:
            seams = seams_at[threshold]
            if all(recordings[i] == recordings[j] for i, j, _ in seams if left_out not in recordings[[i, j]]):
                break
        members = np.flatnonzero(recordings == left_out)
        links = [(i, j) for i, j, _ in seams if {i, j} <= set(members.tolist())]
        group = {m: {m} for m in members.tolist()}
        for i, j in links:
            merged = group[i] | group[j]
            for clip in merged:
                group[clip] = merged
        total += len(members) * (len(members) - 1) // 2
        found += sum(len(g) - 1 for g in group.values()) // 2
        false += sum((recordings[i] == left_out) != (recordings[j] == left_out) for i, j, _ in seams)
    return total, found, false


def false_seams(ends: list[ClipEnds], recordings: np.ndarray, config: SeamConfig, turns: int = 20) -> tuple[int, int]:
    """Comparisons of unrelated clips made to look of one odd length, two by two at random, and seams among them."""
    rng = np.random.default_rng(0)
    compared = linked = 0
    usable = [i for i, end in enumerate(ends) if end.first]
    for _ in range(turns):
        order = rng.permutation(usable)
        pairs = [(a, b) for a, b in zip(order[::2], order[1::2], strict=False) if recordings[a] != recordings[b]]
        disguised = list(ends)
        for number, pair in enumerate(pairs):
            for i in pair:
                disguised[i] = replace(ends[i], length=(100_001 + 480 * number, 48_000))
        seams = find_seams(disguised, config)
        compared += 2 * len(pairs)
        linked += sum(recordings[i] != recordings[j] for i, j, _ in seams)
    return compared, linked


def varied_clips(folder: Path, count: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield `count` clips of 3 s at 4 kHz: real ones at random speeds, so that few are copies of another."""
    rng = np.random.default_rng(0)
    clips = [clip for name in SIRENNET_CLASSES for clip in ClassClips.read(folder / name).clips]
    sources = [soxr.resample(x, rate, 4000).astype(np.float16) for x, rate in clips]
    del clips
    for _ in range(count):
        source = sources[rng.integers(len(sources))].astype(np.float32)
        yield np.resize(soxr.resample(source, 4000, 4000 * rng.uniform(0.8, 1.25), quality="LQ"), 12_000), 4000


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.grouping", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sirennet", type=Path, required=True, metavar="DIR", help="folder with ambulance/, police/, …"
    )
    parser.add_argument("--scale", type=int, metavar="N", help="instead, time the search for N varied clips")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    if not all((options.sirennet / name).is_dir() for name in SIRENNET_CLASSES):
        raise QuaclrsError(
            f"--sirennet {options.sirennet} lacks one of {', '.join(SIRENNET_CLASSES)}; check the folder"
        )
    rows = _print_scale(options.sirennet, options.scale) if options.scale else _print_quality(options.sirennet)
    write_record(options.json, command_of(parser, arguments), rows)
    return 0


def _print_quality(folder: Path) -> list[dict]:
    rows = []
    print("class        clips  groups  by overlap  seams   above 0.9  in one group   CPU s  clips/s")
    for name in SIRENNET_CLASSES:
        of_class = ClassClips.read(folder / name)
        began = time.process_time()
        grouping = group_recordings(of_class.clips)
        seconds = time.process_time() - began
        overlapping = group_recordings(of_class.clips, GroupingConfig(seams=None)).labels
        above, together = compare_with_direct_correlation(of_class.clips, grouping.labels)
        print(
            f"{name:<12}{len(of_class.names):>6}{grouping.labels.max() + 1:>8}{overlapping.max() + 1:>12}"
            f"{len(grouping.seams):>7}{above:>12}{together:>14}{seconds:>8.1f}{len(of_class.names) / seconds:>9.0f}"
        )
        row = {"class": name, "clips": len(of_class.names), "groups": grouping.labels.max() + 1}
        row |= {"by_overlap": overlapping.max() + 1, "seams": len(grouping.seams), "above": above, "in_one": together}
        recordings = np.array(of_class.names)
        if name == "police":
            recordings = np.array([re.sub(r"_\d+$", "", stem) for stem in of_class.names])
            for how, labels in (("overlap", overlapping), ("overlap and seams", grouping.labels)):
                total, found, false = pair_counts(labels, recordings)
                print(f"  police by file name, {how}: {found} of {total} pairs found, {false} false pairs")
                row[how] = {"value": found / total, "pairs": total, "false": false}
        ends = [clip_ends(x, rate, SeamConfig()) for x, rate in of_class.clips]
        if name == "police":
            total, found, false = leave_one_recording_out(ends, recordings)
            print(f"  police, threshold chosen without the recording: {found} of {total} pairs, {false} false seams")
        else:
            recordings = overlapping
        compared, linked = false_seams(ends, recordings, SeamConfig())
        print(f"  if unrelated clips shared an odd length: {linked} false seams in {compared} comparisons")
        rows.append({**row, "processor_seconds": seconds, "compared": compared, "false_seams": linked})
    return rows


def _print_scale(folder: Path, count: int) -> list[dict]:
    began, cpu = time.perf_counter(), time.process_time()
    grouping = group_recordings(varied_clips(folder, count))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    row = {"clips": count, "seconds": time.perf_counter() - began, "processor_seconds": time.process_time() - cpu}
    print(
        f"{count} clips: {row['seconds']:.0f} s wall, {row['processor_seconds']:.0f} s CPU, "
        f"peak {peak:.0f} MB resident, {len(grouping.pairs)} pairs, {grouping.labels.max() + 1} groups"
    )
    return [{**row, "megabytes": peak, "pairs": len(grouping.pairs), "groups": grouping.labels.max() + 1}]


if __name__ == "__main__":
    sys.exit(main())
