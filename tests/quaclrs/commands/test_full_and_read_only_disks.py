"""Every command on a disk that is full, read-only or closed to it, and with names that no file can have: one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.cli import main

NO_FILE = "a" * 300


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a sound and a data set of it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "dog_bark").mkdir(parents=True)
    soundfile.write("a.wav", 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    shutil.copy("a.wav", "data/dog_bark/a.wav")
    return tmp_path


@pytest.fixture(params=["full", "read-only"])
def disk(request: pytest.FixtureRequest, mount_disk: Callable[[int], Path]) -> Path:
    """A disk of 3 MB without room, or that cannot be written, with a sound on it."""
    place = mount_disk(3 << 20)
    soundfile.write(place / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    if request.param == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    else:
        (place / "rest").write_bytes(bytes(shutil.disk_usage(place).free - 40_000))
    return place


#: Commands, with PLACE for the disk and MODEL for a model.
WRITING = [
    ["explain", "a.wav", "--output", "PLACE/x.png", "--model", "MODEL"],
    ["explain", "a.wav", "--output", "PLACE/new/x.pdf", "--model", "MODEL"],
    ["explain", "PLACE/a.wav", "--model", "MODEL"],
    ["augment", "a.wav", "--output", "PLACE/x.png"],
    ["augment", "PLACE/a.wav"],
    ["evaluate", "--dataset", "data", "--output-dir", "PLACE/out", "--model", "MODEL"],
]


@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_a_result_that_finds_no_room_is_one_line_that_names_it(arguments, folder, disk, tiny_classifier_folder, capsys):
    before = sorted(disk.rglob("*"))
    given = [a.replace("PLACE", str(disk)).replace("MODEL", str(tiny_classifier_folder)) for a in arguments]
    assert main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {disk}/") and "cannot be written (" in line
    assert not [left for left in disk.rglob("*") if left not in before and left.is_file() and left.suffix != ".csv"]


READING = [
    ["predict", "a.wav", "--model", "MODEL"],
    ["timeline", "a.wav", "--model", "MODEL"],
    ["evaluate", "--dataset", "data", "--model", "MODEL"],
    ["explain", "a.wav", "--model", "MODEL"],
    ["augment", "a.wav"],
    ["info", "MODEL"],
    ["info", "MODEL", "--json"],
]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is not here")
@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_standard_output_without_room_is_one_line(arguments, folder, tiny_classifier_folder, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([a.replace("MODEL", str(tiny_classifier_folder)) for a in arguments]) == 2
        monkeypatch.undo()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: standard output cannot be written (No space left on device); send it elsewhere"


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", f"./{NO_FILE}/a.wav"],
        ["predict", "a.wav", "--model", NO_FILE],
        ["predict", "a.wav", "--model", f"./{NO_FILE}"],
        ["predict", "a.wav", "--backend", "onnx", "--model", NO_FILE],
        ["timeline", NO_FILE],
        ["explain", "a.wav", "--output", f"{NO_FILE}.png"],
        ["explain", "a.wav", "--model", NO_FILE],
        ["augment", "a.wav", "--output", f"{NO_FILE}/x.png"],
        ["augment", "a.wav", "--policy", NO_FILE],
        ["augment", "a.wav", "--policy", f"{NO_FILE}.yaml"],
        ["evaluate", "--dataset", NO_FILE],
        ["evaluate", "--dataset", f"./{NO_FILE}"],
        ["evaluate", "--dataset", "data", "--output-dir", NO_FILE],
        ["evaluate", "--dataset", "data", "--label-map", NO_FILE],
        ["evaluate", "--dataset", "data", "--noise", NO_FILE],
        ["export", "--output-dir", NO_FILE],
        ["export", "--output-dir", "out", "--model", NO_FILE],
        ["info", NO_FILE],
        ["info", f"./{NO_FILE}"],
        ["report", NO_FILE],
        ["report", "data", "--output-dir", NO_FILE],
    ],
    ids=lambda arguments: " ".join(arguments).replace(NO_FILE, "NAME"),
)
def test_a_name_that_no_file_can_have_is_one_line(arguments, folder, expect_one_error_line):
    assert main(arguments) == 2
    expect_one_error_line(NO_FILE)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to become another user")
@pytest.mark.parametrize("command", ["predict", "timeline", "explain", "augment", "evaluate", "report", "info"])
def test_a_folder_that_may_not_be_read_is_one_line(command, tiny_classifier_folder, monkeypatch, capsys):
    warm = ["info", str(tiny_classifier_folder)]  # what is imported may lie where the other user cannot read
    assert main(warm) == 0 and capsys.readouterr()
    closed = Path(tempfile.mkdtemp())
    try:
        (closed / "inner").mkdir()
        shutil.copytree(tiny_classifier_folder, closed / "model")
        soundfile.write(closed / "a.wav", np.ones(100) / 2, 16_000)
        monkeypatch.chdir("/")
        given = {
            "evaluate": ["--dataset", f"{closed}/inner"],
            "report": [f"{closed}/inner"],
            "info": [f"{closed}/model"],
        }
        arguments = given.get(command, [f"{closed}/a.wav"])
        os.seteuid(65534)
        try:
            assert main([command, *arguments]) == 2
        finally:
            os.seteuid(0)
    finally:
        shutil.rmtree(closed)
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("error: ") and str(closed) in line
