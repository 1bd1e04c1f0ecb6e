"""Files that cannot be decoded: all are listed, and they stop the build or are left out of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_build import build, rows_of, write_sirennet, write_urbansound8k

from dataset_builder.recordings.broken import leave_out_broken
from dataset_builder.sources.sirennet import scan_sirennet
from dataset_builder.sources.urbansound8k import scan_urbansound8k


@pytest.fixture
def with_broken(tmp_path) -> tuple[Path, Path, set[str]]:
    """Two sources with three broken files in two classes and what their names are."""
    old = write_urbansound8k(tmp_path / "old", [("1", "dog_bark", 1), ("2", "car_horn", 2), ("4", "drilling", 3)])
    new = write_sirennet(tmp_path / "new", {"traffic": 5})
    (new / "traffic" / "sound_2.wav").write_bytes(b"")
    (new / "traffic" / "sound_4.wav").write_bytes(b"no audio at all")
    (old / "audio" / "fold2" / "2-1-0-0.wav").write_bytes(b"RIFF")
    return old, new, {"sound_2.wav", "sound_4.wav", "2-1-0-0.wav"}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_all_broken_files_of_all_sources_are_listed_with_their_reason_before_anything_is_written(
    with_broken, tmp_path, capsys, processes
):
    old, new, broken = with_broken
    assert build(old, new, tmp_path / "built", "--num-proc", processes) == 2
    lines = capsys.readouterr().err.splitlines()
    listed = [line for line in lines if line.startswith("broken: ")]
    assert {next(name for name in broken if name in line) for line in listed} == broken
    assert any("is empty" in line for line in listed)
    assert any("cannot be decoded as audio" in line for line in listed)
    assert any("is text, no sound" in line for line in listed)
    (error,) = [line for line in lines if line.startswith("error: ")]
    assert "--skip-broken" in error
    assert "2 more" in error
    assert not list(tmp_path.glob("built*"))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_skip_broken_lists_them_and_builds_what_a_source_without_them_would_give(
    with_broken, tmp_path, capsys, processes
):
    old, new, broken = with_broken
    assert build(old, new, tmp_path / "skipped", "--skip-broken", "--num-proc", processes) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("broken: ")]
    assert {next(name for name in broken if name in line) for line in lines} == broken
    for path in [*old.rglob("*.wav"), *new.rglob("*.wav")]:
        if path.name in broken:
            path.unlink()
    assert build(old, new, tmp_path / "without") == 0
    assert rows_of(tmp_path / "skipped") == rows_of(tmp_path / "without")
    assert len(rows_of(tmp_path / "skipped")) == 2 + 3
    names = {path.name for path in (tmp_path / "skipped" / "data").iterdir()}
    assert names == {path.name for path in (tmp_path / "without" / "data").iterdir()}


def test_the_reports_name_what_was_skipped(with_broken):
    old, new, _ = with_broken
    reports = leave_out_broken([scan_urbansound8k(old), scan_sirennet(new)], skip_broken=True)
    assert set(reports[0].broken) == {"urbansound8k/2-1-0-0"}
    assert set(reports[1].broken) == {"sirennet/traffic/sound_2", "sirennet/traffic/sound_4"}
    assert "is empty" in reports[1].broken["sirennet/traffic/sound_2"]
    assert not {clip.clip_id for report in reports for clip in report.clips} & {*reports[0].broken, *reports[1].broken}


def test_broken_files_alone_build_nothing(tmp_path, capsys):
    (tmp_path / "new" / "traffic").mkdir(parents=True)
    (tmp_path / "new" / "traffic" / "sound_1.wav").write_bytes(b"")
    assert build(None, tmp_path / "new", tmp_path / "built", "--skip-broken") == 2
    assert "no clip can be decoded" in capsys.readouterr().err
    assert not list(tmp_path.glob("built*"))
