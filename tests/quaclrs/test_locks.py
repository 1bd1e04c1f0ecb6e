"""One writer a folder, however the writer ends."""

import subprocess
import sys

import pytest

from quaclrs.errors import QuaclrsError
from quaclrs.locks import only_writer

HOLDER = """
import sys
from pathlib import Path
from quaclrs.locks import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes `tmp_path/run` until it is ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_second_writer_is_told_and_the_first_goes_on(tmp_path, holder):
    told = r"run is being written by another process; .* another --output$"
    with pytest.raises(QuaclrsError, match=told), only_writer(tmp_path / "run", "--output"):
        pass
    assert holder.poll() is None
    with only_writer(tmp_path / "other"):
        pass


@pytest.mark.parametrize("end", ["kill", "finish"])
def test_a_writer_that_ended_leaves_nothing_in_the_way(tmp_path, holder, end):
    holder.kill() if end == "kill" else holder.communicate()
    holder.wait()
    with only_writer(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_process_are_two(tmp_path):
    with (
        only_writer(tmp_path / "run"),
        pytest.raises(QuaclrsError, match="being written"),
        only_writer(tmp_path / "run"),
    ):
        pass
    with only_writer(tmp_path / "run"):
        pass


def test_a_link_to_a_folder_is_that_folder(tmp_path, holder):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with pytest.raises(QuaclrsError, match="link is being written"), only_writer(tmp_path / "link"):
        pass


def test_a_folder_beside_which_nothing_can_be_written_has_one_writer_too(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr("os.access", lambda *_: False)
    with (
        only_writer(tmp_path / "disk"),
        pytest.raises(QuaclrsError, match="disk is being written"),
        only_writer(tmp_path / "disk"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["disk"]
