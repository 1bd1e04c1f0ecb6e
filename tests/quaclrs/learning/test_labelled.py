"""Labels as people keep them: folders, tables of ours, label tracks of Audacity and selection tables of Raven."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.errors import QuaclrsError, QuaclrsWarning
from quaclrs.learning.labelled import read_labelled


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "street.wav"
    soundfile.write(file, np.zeros(8000), 8000)
    return file


def told(source: Path) -> list[tuple]:
    return [(s.file.name, s.label, s.start, s.end, s.recording) for s in read_labelled(source)]


def test_a_folder_of_folders_whatever_the_alphabet(tmp_path):
    for label in ("Nachtigall", "路面电车", "leaf blower"):
        (tmp_path / label / "deeper").mkdir(parents=True)
        soundfile.write(tmp_path / label / "deeper" / "a b.wav", np.zeros(800), 8000)
    assert [label for _, label, *_ in told(tmp_path)] == ["Nachtigall", "leaf blower", "路面电车"]


@pytest.mark.parametrize(
    "text",
    [
        "file,start,end,label,recording\nstreet.wav,1.5,2.5,tram bell,north\n",
        "file_name;onset;offset;class;group\nstreet.wav;1,5;2,5;tram bell;north\n",
        "\ufefffilename\tstart\tend\tcategory\tgroup\nstreet.wav\t1.5\t2.5\ttram bell\tnorth\n",
    ],
)
def test_a_table_with_times_and_recordings(recording, text):
    table = recording.with_name("labels.csv")
    table.write_text(text, encoding="utf-8")
    assert told(table) == [("street.wav", "tram bell", 1.5, 2.5, "north")]


def test_a_label_track_of_audacity_beside_its_sound(recording):
    recording.with_suffix(".txt").write_text("1.0\t2.0\ttram\n\\\t200\t900\n3.0\t3.0\tbell\n")
    assert told(recording.parent) == [("street.wav", "tram", 1.0, 2.0, None), ("street.wav", "bell", 2.0, 4.0, None)]


def test_a_selection_table_of_raven(recording):
    table = recording.with_name("street.Table.1.selections.txt")
    table.write_text(
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\n"
        "1\tSpectrogram 1\t1\t0.25\t0.75\t0\t4000\tnightjar\n"
    )
    assert told(table) == [("street.wav", "nightjar", 0.25, 0.75, None)]


def test_a_text_that_is_no_table_does_not_matter(recording):
    (recording.parent / "tram").mkdir()
    recording.rename(recording.parent / "tram" / "street.wav")
    (recording.parent / "tram" / "street.txt").write_text("recorded on the bridge, with wind\n")
    (recording.parent / "notes.txt").write_text("x" * 200_000)  # beyond what a cell of a table may hold
    assert told(recording.parent) == [("street.wav", "tram", None, None, None)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,label\nno.wav,a\n", "row 2: the file no.wav does not exist"),
        ("file,label,start,end\nstreet.wav,a,3,2\n", "row 2 begins at 3 s and ends at 2 s"),
        ("file,label,start,end\nstreet.wav,a,soon,2\n", "'soon' is not a time in seconds"),
        ("file,label,start,end\nstreet.wav,a,1,\n", "row 2 has only one of start and end"),
        ("file,label\nstreet.wav,\n", "row 2 has no label"),
        ("file,colour\nstreet.wav,red\n", "is not a table of labels"),
        (f"file,label\nstreet.wav,{'x' * 200_000}\n", "cannot be read as a table (field larger than"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line_that_names_the_row(recording, text, says):
    table = recording.with_name("labels.csv")
    table.write_text(text)
    with pytest.raises(QuaclrsError, match=r"labels\.csv") as error:
        read_labelled(table)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_sounds_outside_of_the_folders_are_passed_over_and_named(recording):
    (recording.parent / "tram").mkdir()
    soundfile.write(recording.parent / "tram" / "a.wav", np.zeros(800), 8000)
    (recording.parent / "empty").mkdir()
    with pytest.warns(QuaclrsWarning) as warned:
        assert told(recording.parent) == [("a.wav", "tram", None, None, None)]
    lines = [str(w.message) for w in warned]
    assert any("street.wav" in line for line in lines)
    assert any("empty holds no sounds" in line for line in lines)


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_a_sound_in_place_of_a_table_is_one_line(tmp_path, level):
    soundfile.write(tmp_path / "a.wav", level * np.random.default_rng(0).standard_normal(8000), 8000)
    with pytest.raises(QuaclrsError, match=r"a\.wav is not a table of labels; give CSV"):
        read_labelled(tmp_path / "a.wav")


def test_no_folder_and_a_folder_without_sounds(tmp_path, recording):
    with pytest.raises(QuaclrsError, match="does not exist"):
        read_labelled(tmp_path / "nowhere")
    with pytest.raises(QuaclrsError, match="1 sounds that lie in no folder"):
        read_labelled(tmp_path)
