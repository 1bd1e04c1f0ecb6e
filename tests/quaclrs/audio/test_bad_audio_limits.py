"""Seconds of the processor and memory that each sound of the bad audio corpus takes, by every door that hears."""

from __future__ import annotations

import heapq
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_audio import write_bad_audio

from quaclrs import QuaclrsError, load_classifier
from quaclrs.audio import load_audio

pytestmark = [
    pytest.mark.weekly,
    pytest.mark.filterwarnings("ignore::quaclrs.audio.AudioWarning"),
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is Linux's"),
]

#: Seconds of the processor, and bytes above the size of the file.
SECONDS, MEMORY = 2.0, 200 << 20

#: Seconds after which a sound hangs.
HANG = 120


def memory(name: str) -> int:
    """A line of Linux's account of this process, in bytes: `VmRSS` now, `VmHWM` the most since `forget_peak`."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) << 10


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def taken_by(hear: Callable[[str], object], file: Path) -> tuple[float, int]:
    """Seconds of the processor, and the most memory above what there was."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)  # ends the test
    forget_peak()
    before, began = memory("VmRSS"), time.process_time()
    signal.alarm(HANG)
    try:
        hear(str(file))
    except QuaclrsError:
        pass
    finally:
        signal.alarm(0)
    return time.process_time() - began, memory("VmHWM") - before


def test_no_sound_takes_two_seconds_or_200_mb_above_its_file_by_any_door(tmp_path, monkeypatch, capsys) -> None:
    from dataset_builder.recordings.broken import _check

    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "spaces"))
    import analysis

    classifier = load_classifier(threads=1)
    doors: dict[str, Callable[[str], object]] = {
        "decode": lambda file: load_audio(file, 48_000),
        "predict": classifier.predict,
        "timeline": lambda file: classifier.predict_timeline(file, hop=4.0),
        "build": lambda file: _check(Path(file)),
        "Space": lambda file: analysis.check_sound(file),
    }
    cases = write_bad_audio(tmp_path / "audio")
    good = next(case.file for name, case in cases.items() if name.startswith("WAV_FLOAT"))
    for hear in doors.values():
        taken_by(hear, good)  # what is loaded once
    taken = {
        (name, door): (*taken_by(hear, case.file), case.file.stat().st_size if case.file.is_file() else 0)
        for name, case in cases.items()
        for door, hear in doors.items()
    }
    with capsys.disabled():
        print(f"\n{len(cases)} sounds, {len(doors)} doors")
        for title, key in (("seconds", lambda entry: taken[entry][0]), ("memory", lambda entry: taken[entry][1])):
            print(f"the ten that take most {title}:")
            for name, door in heapq.nlargest(10, taken, key=key):
                seconds, most, size = taken[name, door]
                print(f"  {seconds:6.2f} s {most / 2**20:6.0f} MB  {door:8} {ascii(name)[1:-1][:60]} ({size:,} bytes)")
    over = {entry: of for entry, of in taken.items() if of[0] > SECONDS or of[1] > MEMORY + of[2]}
    assert over == {}
