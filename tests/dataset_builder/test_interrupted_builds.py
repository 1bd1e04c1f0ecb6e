"""Builds that are killed, or whose disk is full: the next one is equal to a build that nothing befell."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import warm_python

from dataset_builder.__main__ import main

#: A build that kills itself where a function of a module would be called.
KILLED = """
import importlib, os, sys
from dataset_builder.__main__ import main

module, name = sys.argv[1].rsplit(".", 1)
setattr(importlib.import_module(module), name, lambda *_, **__: os.kill(os.getpid(), 9))
main(sys.argv[2:])
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def arguments(sources: Path, output: Path) -> list[str]:
    given = ["--urbansound8k", str(sources / "UrbanSound8K"), "--sirennet", str(sources / "sireNNet")]
    return ["build", *given, "--output", str(output)]


@pytest.mark.parametrize(
    "place",
    [
        "dataset_builder.urbansound13.check_and_deal",
        "dataset_builder.urbansound13.write_card",
        "quaclrs.files.flush_to_disk",
    ],
)
def test_a_killed_build_run_again_equals_one_never_killed_and_nothing_else_is_left(sources, built, tmp_path, place):
    process = warm_python.run(["-c", KILLED, place, *arguments(sources, tmp_path / "built")])
    assert process.returncode == -9, process.stderr
    assert not (tmp_path / "built").exists()
    assert list(tmp_path.iterdir())
    assert main(arguments(sources, tmp_path / "built")) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["built"]
    assert contents(tmp_path / "built") == contents(built["audio"])


@pytest.mark.weekly
@pytest.mark.parametrize("processes", ["1", "2"])
def test_builds_killed_at_random_moments_run_again_equal_one_never_killed(sources, built, tmp_path, processes):
    generator, kills = random.Random(int(processes)), 0
    command = [sys.executable, "-m", "dataset_builder", *arguments(sources, tmp_path / "built")]
    begin = time.monotonic()
    subprocess.run([*command, "--num-proc", processes], check=True)
    lasting = time.monotonic() - begin
    for _ in range(12):
        shutil.rmtree(tmp_path / "built", ignore_errors=True)
        process = subprocess.Popen([*command, "--num-proc", processes], stderr=subprocess.DEVNULL)
        time.sleep(generator.uniform(0.2, 1) * lasting)
        process.kill()
        kills += process.wait() == -9
        if not (tmp_path / "built").exists():
            subprocess.run([*command, "--num-proc", processes], check=True)
        assert contents(tmp_path / "built") == contents(built["audio"])
    assert kills > 6
    shutil.rmtree(tmp_path / "built")
    subprocess.run(command, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["built"]


@pytest.mark.parametrize("command", ["build", "sample"])
def test_a_full_disk_is_one_line_and_what_was_written_of_the_build_goes(sources, small_disk, capsys, command):
    output = small_disk / "built"
    given = arguments(sources, output) if command == "build" else ["sample", "--output", str(output)]
    assert main(given) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert f"{output} cannot be written (" in error
    assert "No space left on device); choose another place, or make room" in error
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize("command", ["build", "sample"])
def test_a_read_only_disk_is_one_line_before_anything_is_read(small_disk, expect_one_error_line, command):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    source = ["--sirennet", "absent"] if command == "build" else []
    assert main([command, *source, "--output", str(small_disk / "built")]) == 2
    expect_one_error_line("cannot be written (Read-only file system); choose another --output")
