"""Time and memory that building the data set takes, part by part.

`python -m benchmarks.dataset_build --urbansound8k DIR --sirennet DIR` builds it with one process and with two, each in
an interpreter of its own, and then times the stages on the same clips.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from dataset_builder.sources.inputs import SOURCES
from quaclrs.audio import encode_flac, read_recording
from quaclrs.data import STORED_SAMPLING_RATE
from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record
from quaclrs.grouping import group_recordings


@dataclass(frozen=True)
class BuildCost:
    """Measures of one build: seconds of wall and processor time, peak memory in MB summed over its processes."""

    wall: float
    cpu: float
    resident: float
    unshared: float  # pages that processes share counted once (0 where the system does not tell)


def measure_build(options: list[str], num_proc: int) -> BuildCost:
    """Build into a folder that is thrown away.

    Args:
        options: of `python -m dataset_builder build` that name the sources.
        num_proc: processes that transcode.

    Raises:
        QuaclrsError: the build failed; the message holds its last line.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        command = [sys.executable, "-m", "dataset_builder", "build", *options]
        command += ["--output", str(Path(folder) / "built"), "--num-proc", str(num_proc)]
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=log, stderr=log)
        resident = unshared = 0.0
        turn = 0
        while child.poll() is None:
            now, shared_once = _memory(child.pid, proportional=turn % 10 == 0)
            resident, unshared = max(resident, now), max(unshared, shared_once)
            turn += 1
            time.sleep(0.1)
        wall = time.perf_counter() - began
        if child.returncode:
            log.seek(0)
            raise QuaclrsError(f"the build failed: {(log.read().strip().splitlines() or ['no output'])[-1]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return BuildCost(wall, cpu, resident, unshared)


def _memory(pid: int, proportional: bool) -> tuple[float, float]:
    """MB resident, and MB with shared pages counted once, of a process and its descendants."""
    resident = unshared = 0.0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0.0, 0.0
    for process in processes:
        try:
            resident += process.memory_info().rss / 1e6
            if proportional:  # slow, as the system walks over every page
                unshared += getattr(process.memory_full_info(), "pss", 0) / 1e6
        except psutil.Error:
            continue  # it has just ended
    return resident, unshared


def time_stages(folders: Mapping[str, Path]) -> dict[str, float]:
    """Seconds of processor time that decoding, resampling, encoding and grouping take, one thread, all clips once."""
    clips = [clip for source in SOURCES if source.name in folders for clip in source.scan(folders[source.name]).clips]
    seconds: dict[str, float] = defaultdict(float)
    to_group: dict[str, list] = defaultdict(list)
    for clip in clips:
        began = time.process_time()
        recording = read_recording(clip.path)
        decoded = time.process_time()
        waveform = recording.mono(STORED_SAMPLING_RATE)
        resampled = time.process_time()
        encode_flac(waveform, STORED_SAMPLING_RATE)
        seconds["encode"] += time.process_time() - resampled
        seconds["resample"] += resampled - decoded
        seconds["decode"] += decoded - began
        if clip.recording_id is None:
            to_group[clip.label].append((recording.waveform.mean(axis=0), recording.sampling_rate))
            seconds["decode"] += decoded - began  # clips that are grouped are decoded once more for it
    began = time.process_time()
    for of_class in to_group.values():
        group_recordings(of_class)
    seconds["grouping"] = time.process_time() - began
    seconds["clips"] = len(clips)
    return dict(seconds)


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.dataset_build", description=__doc__.splitlines()[0])
    for source in SOURCES:
        parser.add_argument(f"--{source.name}", type=Path, metavar="DIR")
    parser.add_argument("--num-proc", type=int, nargs="+", default=[1, 2], metavar="N", help="default: 1 2")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    folders = {source.name: getattr(options, source.name) for source in SOURCES if getattr(options, source.name)}
    if not folders:
        raise QuaclrsError(f"no source given; pass {' or '.join(f'--{source.name} DIR' for source in SOURCES)}")
    sources = [word for name, folder in folders.items() for word in (f"--{name}", str(folder))]
    stages = time_stages(folders)
    clips = stages.pop("clips")
    total = sum(stages.values())
    rows = [{"stage": name, "processor_seconds": seconds, "clips": clips} for name, seconds in stages.items()]
    print(
        f"{clips:.0f} clips; one thread, processor time: "
        + ", ".join(f"{name} {seconds:.1f} s ({100 * seconds / total:.0f} %)" for name, seconds in stages.items())
    )
    print("processes   wall s    CPU s  clips/s   peak MB resident   peak MB, shared pages once")
    for num_proc in options.num_proc:
        cost = measure_build(sources, num_proc)
        print(
            f"{num_proc:>9}{cost.wall:>9.1f}{cost.cpu:>9.1f}{clips / cost.wall:>9.1f}{cost.resident:>19.0f}"
            f"{cost.unshared:>29.0f}",
            flush=True,
        )
        rows.append({"processes": num_proc, **asdict(cost), "clips_per_second": clips / cost.wall})
    write_record(options.json, command_of(parser, arguments), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
