"""`quaclrs listen -` as people run it: WAV in a pipe, lines out at once, clips when it is stopped."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.errors import QuaclrsError
from quaclrs.live.clips import ClipRecorder

EXAMPLES = Path(__file__).parents[3] / "spaces" / "examples"
COMMAND = [sys.executable, "-m", "quaclrs.cli", "listen", "-", "--threads", "1"]


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    """Digital silence, a dog, and silence again."""
    sound, rate = soundfile.read(EXAMPLES / "dog_bark.ogg", dtype="float32", always_2d=True)
    silence = np.zeros(3 * rate, np.float32)
    file = tmp_path_factory.mktemp("street") / "street.wav"
    soundfile.write(file, np.concatenate([silence, sound[: 3 * rate, 0], silence]), rate)
    return file


def test_a_wav_in_a_pipe_becomes_lines_and_clips(street, tmp_path):
    command = [*COMMAND, "--json", "--record", str(tmp_path / "clips")]
    done = subprocess.run(command, stdin=street.open("rb"), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] | {"time": ""} == {"time": "", "seconds": 0.0, "label": "silence", "score": 1.0, "level": -150.0}
    dog = next(line for line in lines if line["label"] == "dog_bark")
    assert 3.0 <= dog["seconds"] <= 4.5
    assert lines[-1]["label"] == "silence" and 6.0 <= lines[-1]["seconds"] <= 6.5
    assert any(file.name.endswith("_dog_bark.wav") for file in (tmp_path / "clips").iterdir())


def test_lines_come_while_the_stream_goes_on_and_a_signal_ends_it_with_whole_clips(street, tmp_path):
    sound, rate = soundfile.read(street, dtype="int16")
    raw = [*COMMAND, "--rate", str(rate), "--record", str(tmp_path), "--record-labels", "silence"]
    child = subprocess.Popen(raw, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdin.write(sound[: 2 * rate].tobytes())
    child.stdin.flush()
    assert b"silence" in child.stdout.readline()  # the pipe is still open
    time.sleep(0.2)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=60) == 0, child.stderr.read()
    (clip,) = tmp_path.iterdir()
    assert clip.name.endswith("_silence.wav")
    assert soundfile.info(clip).duration == pytest.approx(2.0, abs=0.2)
    child.stdin.close()


def test_a_stream_that_ends_before_any_answer_says_so():
    tenth = (1000 * np.sin(np.arange(4_800))).astype("<i2").tobytes()
    done = subprocess.run(COMMAND, input=tenth, capture_output=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, b"")
    assert re.fullmatch(r"note: the sound ended after 0\.1 s, before a label .*\n", done.stderr.decode())


def test_a_file_in_place_of_the_folder_of_clips_is_named_with_its_option(tmp_path):
    (tmp_path / "clips").write_text("mine")
    with pytest.raises(QuaclrsError, match=r"^--record .*clips is a file; give a folder$"):
        ClipRecorder(tmp_path / "clips", 48_000)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--record", "clips", "--record-labels", "cow"], "the model knows no cow"),
        (["--record-labels", "dog_bark"], "--record-labels has no use without --record"),
        (["--window", "0"], "window 0 s and hop 0.5 s must be above 0"),
        (["--window", "9"], "window at most the model's 4 s"),
        (["--mqtt", "http://x"], "--mqtt takes mqtt://"),
        (["--rate", "0"], "--rate is 0; it must be 1 or more"),
    ],
)
def test_an_option_that_makes_no_sense_ends_in_one_line(options, words, tmp_path):
    done = subprocess.run([*COMMAND, *options], input=b"\0" * 100, capture_output=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 2
    assert words in done.stderr.decode() and len(done.stderr.splitlines()) == 1
