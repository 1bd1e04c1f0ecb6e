"""Which files of a folder are sounds, and what is said of the others."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.audio import AudioError, AudioWarning, find_audio_files, read_recording

RATE = 16_000
TONE = 0.5 * np.sin(np.arange(RATE) / 10)


def write(file: Path, **settings) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, TONE, RATE, **settings)
    return file


def found_in(folder: Path) -> list[str]:
    """Names of what is found, of which nothing is warned."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [file.relative_to(folder).as_posix() for file in find_audio_files(folder)]


def test_sounds_are_found_by_what_they_hold_whatever_their_ending_and_sorted_by_path(tmp_path: Path) -> None:
    forms = {
        "a/b.WAV": "WAV",
        "a/deep/er/z.flac": "FLAC",
        "b.wave": "WAV",
        "c.aifc": "AIFF",
        "d.mp2": "MP3",
        "e.snd": "AU",
        "f": "OGG",
        "g.mp3": "MP3",
        "h.bak": "FLAC",
        "i.sph": "NIST",
        "take.2024-05-01": "CAF",
    }
    for name, form in forms.items():
        write(tmp_path / name, format=form)
    (tmp_path / "folder.wav").mkdir()
    assert found_in(tmp_path) == sorted(forms)
    for file in find_audio_files(tmp_path):
        assert read_recording(file).duration == pytest.approx(1.0, abs=0.1)


def test_other_files_are_counted_and_named_in_one_line(tmp_path: Path, capfd) -> None:
    write(tmp_path / "a.wav")
    others = {
        "list.csv": b"file,label\na.wav,dog\n",
        "notes.txt": "naïve notes".encode("utf-16"),  # begins as a frame of MPEG audio may
        "photo.jpg": b"\xff\xd8\xff\xe0" + bytes(100),
        "random.bin": b"\xff\xfb" + np.random.default_rng(0).bytes(100_000),
        "speech.docx": b"PK\x03\x04" + bytes(100),
        "void": b"",
    }
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
    with pytest.warns(AudioWarning) as warning:
        assert [file.name for file in find_audio_files(tmp_path)] == ["a.wav"]
    (line,) = [str(found.message) for found in warning]
    assert line == (
        f"{tmp_path}: 6 files that are not sounds were passed over: list.csv, notes.txt, photo.jpg, random.bin, "
        "speech.docx and 1 more"
    )
    assert capfd.readouterr().err == ""  # libmpg123 was asked for two of them


@pytest.mark.parametrize("name", ["cut.wav", "phone.m4a", "old.WMA", "call.amr"])
def test_a_file_whose_ending_announces_a_sound_is_found_although_it_holds_none(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"nothing that can be decoded")
    assert found_in(tmp_path) == [name]
    with pytest.raises(AudioError, match=name):
        read_recording(tmp_path / name)


def test_what_systems_leave_behind_is_passed_over_without_a_word(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    for name in (".b.wav", "._a.wav", ".ipynb_checkpoints/a.wav", "__MACOSX/a.wav", "x/@eaDir/a.wav", ".git/a.wav"):
        write(tmp_path / name)
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    assert found_in(tmp_path) == ["a.wav"]


def test_a_hidden_folder_that_is_asked_for_is_searched(tmp_path: Path) -> None:
    write(tmp_path / ".cache" / "a.wav")
    assert found_in(tmp_path / ".cache") == ["a.wav"]


def test_linked_files_and_folders_are_followed_and_a_cycle_is_gone_through_once(tmp_path: Path) -> None:
    write(tmp_path / "store" / "s.wav")
    write(tmp_path / "tree" / "own.wav")
    (tmp_path / "tree" / "site_a").symlink_to(tmp_path / "store", target_is_directory=True)
    (tmp_path / "tree" / "site_b").symlink_to("../store", target_is_directory=True)
    (tmp_path / "tree" / "other.wav").symlink_to("../store/s.wav")
    (tmp_path / "store" / "up").symlink_to("../tree", target_is_directory=True)
    (tmp_path / "tree" / "self").symlink_to(".", target_is_directory=True)
    assert found_in(tmp_path / "tree") == ["other.wav", "own.wav", "site_a/s.wav", "site_b/s.wav"]


def test_links_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    (tmp_path / "gone.wav").symlink_to(".git/annex/objects/x.wav")
    (tmp_path / "site").symlink_to("/nowhere/site", target_is_directory=True)
    with pytest.warns(AudioWarning, match=r"site \(a link to /nowhere/site, which does not exist\)"):
        files = find_audio_files(tmp_path)
    assert [file.name for file in files] == ["a.wav", "gone.wav"]
    with pytest.raises(
        AudioError,
        match=r"gone\.wav is a link to \.git/annex/objects/x\.wav, which does not exist; fetch or restore that$",
    ):
        read_recording(files[1])


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.wav")
    write(tmp_path / "locked" / "b.wav")
    listed = Path.iterdir

    def iterdir(folder: Path):
        if folder.name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.warns(AudioWarning, match=r"locked cannot be read \(Permission denied\)"):
        assert [file.name for file in find_audio_files(tmp_path)] == ["a.wav"]


def test_a_folder_that_can_be_listed_but_not_entered_stops_nothing(tmp_path: Path, monkeypatch) -> None:
    """As `chmod -R 644` leaves it. Whoever may do everything is kept out too."""
    write(tmp_path / "a.wav")
    write(tmp_path / "listed" / "b.wav")
    for name in ("notes", "c.txt"):
        (tmp_path / "listed" / name).write_text("windy")
    stat = os.stat

    def locked(path, *arguments, **options):
        if Path(os.fspath(path)).parent.name == "listed":
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", locked)
    monkeypatch.setattr(Path, "stat", lambda path, **options: locked(path, **options))
    with pytest.warns(AudioWarning, match=r"2 files that are not sounds were passed over"):
        assert [file.name for file in find_audio_files(tmp_path)] == ["a.wav", "b.wav"]
