"""A file or folder that a block writes appears whole, with the usual permissions, or not at all."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from quaclrs.errors import QuaclrsError
from quaclrs.files import (
    name_unwritable,
    refuse_unwritable,
    refuse_unwritable_cache,
    refuse_used_folder,
    written,
)


def test_a_file_appears_when_the_block_ends_and_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "usual").write_text("")
    (tmp_path / "file.txt").write_text("former")
    with written(tmp_path / "file.txt") as unfinished:
        unfinished.write_text("new")
        assert unfinished.suffix == ".txt"
        assert (tmp_path / "file.txt").read_text() == "former"
    assert (tmp_path / "file.txt").read_text() == "new"
    assert (tmp_path / "file.txt").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["file.txt", "usual"]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("former")
    with pytest.raises(RuntimeError), written(tmp_path / "file.txt") as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert (tmp_path / "file.txt").read_text() == "former"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_folder_takes_the_place_of_an_empty_one_but_not_of_one_that_holds_something(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    for content in ("first", "second"):
        try:
            with written(target) as unfinished:
                unfinished.mkdir()
                (unfinished / content).write_text("")
        except OSError:
            assert content == "second"
    assert os.listdir(target) == ["first"]
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("kind", ["disk", "link", "working directory", "of a folder that cannot be written"])
def test_a_folder_that_must_stay_gets_its_entries_once_all_are_written(
    kind: str, tmp_path: Path, mount_disk, monkeypatch
) -> None:
    target, given = tmp_path / "folder", None
    target.mkdir()
    if kind == "disk":
        target = mount_disk(1 << 20)
    elif kind == "link":
        (tmp_path / "link").symlink_to(target)
        given = tmp_path / "link"
    elif kind == "working directory":
        monkeypatch.chdir(target)
        given = Path(".")
    else:  # root may write everywhere
        real = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and real(path, mode))
    beside, before = sorted(os.listdir(tmp_path)), target.stat().st_ino
    with written(given or target) as unfinished:
        (unfinished / "deep").mkdir(parents=True)
        (unfinished / "deep" / "file").write_text("new")
        assert unfinished.is_relative_to(given.absolute() if given else target)
        assert not (target / "deep").exists()
    assert os.listdir(target) == ["deep"]
    assert (target / "deep" / "file").read_text() == "new"
    with pytest.raises(FileExistsError, match="deep"), written(given or target) as unfinished:
        unfinished.mkdir()
        for name in ("also", "deep"):
            (unfinished / name).write_text("newer")
    assert os.listdir(target) == ["deep"]
    assert (target / "deep" / "file").read_text() == "new"
    assert (sorted(os.listdir(tmp_path)), target.stat().st_ino) == (beside, before)


def test_what_a_killed_writer_left_in_a_folder_that_must_stay_does_not_make_it_a_used_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    killed = KILLED.replace('unfinished.write_text("half")', "unfinished.mkdir()").replace(
        "Path(sys.argv[1])", "Path()"
    )
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path / "data", check=False)
    assert len(os.listdir(tmp_path / "data")) == 1
    refuse_used_folder(tmp_path / "data")
    assert os.listdir(tmp_path / "data") == []


def test_two_writers_of_one_file_do_not_meet_and_the_last_one_stays(tmp_path: Path) -> None:
    with written(tmp_path / "file") as first, written(tmp_path / "file") as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "file").read_text() == "first"


KILLED = """
import os, sys
from pathlib import Path
from quaclrs.files import written
with written(Path(sys.argv[1])) as unfinished:
    unfinished.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_writer_left_goes_and_what_looks_like_it_or_is_being_written_stays(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "data")], check=False)
    (left,) = tmp_path.iterdir()
    theirs = {".data.original/thesis.txt": "years of work", ".data.x/.data.old": "", ".data.txt": ""}
    for name, content in theirs.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / ".data.elsewhere").symlink_to(left)
    with written(tmp_path / "data") as first:
        first.write_text("first")
        assert not left.exists()
        with written(tmp_path / "data") as second:
            second.write_text("second")
        assert first.read_text() == "first"
    assert sorted(os.listdir(tmp_path)) == [".data.elsewhere", ".data.original", ".data.txt", ".data.x", "data"]
    assert {name: (tmp_path / name).read_text() for name in theirs} == theirs


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_cache_that_cannot_be_written_is_named_however_deep_the_reason_lies(reason: int) -> None:
    try:
        try:
            raise OSError(reason, os.strerror(reason), "/cache/datasets/x.lock")
        except OSError as error:
            raise RuntimeError("the data set cannot be prepared") from error
    except RuntimeError as error:
        words = re.escape(f"the cache /cache/datasets/x.lock cannot be written ({os.strerror(reason)}); set HF_HOME")
        with pytest.raises(QuaclrsError, match=words):
            refuse_unwritable_cache(error)


def test_other_errors_are_not_taken_for_a_cache() -> None:
    chained = RuntimeError("the data set cannot be prepared")
    chained.__cause__ = FileNotFoundError(errno.ENOENT, "No such file", "/cache/x.lock")
    for error in (chained, chained.__cause__, ValueError("no table")):
        assert refuse_unwritable_cache(error) is None


def test_a_folder_that_holds_anything_is_refused_and_a_new_or_empty_one_is_not(tmp_path: Path) -> None:
    refuse_used_folder(tmp_path)
    refuse_used_folder(tmp_path / "new" / "deep")
    assert os.listdir(tmp_path) == []
    (tmp_path / "metrics.json").write_text("{}")
    for used in (tmp_path, tmp_path / "metrics.json"):
        with pytest.raises(QuaclrsError, match="--output-dir"):
            refuse_used_folder(used)


@pytest.mark.parametrize("reason", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_place_that_cannot_be_written_is_refused_by_trying(reason: int, tmp_path: Path, monkeypatch) -> None:
    def refused(*_, **__):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(Path, "write_bytes", refused)
    words = re.escape(f"{tmp_path}/new/p.png cannot be written ({os.strerror(reason)}); choose another --output")
    with pytest.raises(QuaclrsError, match=words):
        refuse_unwritable(tmp_path / "new" / "p.png", "--output")
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_may_be_written_anew(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_text("former")
    refuse_unwritable(tmp_path / "p.png", "--output")
    assert os.listdir(tmp_path) == ["p.png"] and (tmp_path / "p.png").read_text() == "former"


def test_a_full_disk_is_named_whatever_a_library_calls_it(tmp_path: Path, monkeypatch) -> None:
    def disk(free: int) -> None:
        monkeypatch.setattr("quaclrs.files.shutil.disk_usage", lambda _: SimpleNamespace(free=free))

    disk(0)
    with (
        pytest.raises(QuaclrsError, match="model cannot be written"),
        name_unwritable(tmp_path / "model"),
    ):
        raise RuntimeError("PytorchStreamWriter failed writing file")
    disk(1 << 40)
    with pytest.raises(RuntimeError, match="shape"), name_unwritable(tmp_path / "model"):
        raise RuntimeError("a wrong shape")


def test_an_error_about_another_file_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), name_unwritable(tmp_path / "out" / "a"):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/secret.wav")
