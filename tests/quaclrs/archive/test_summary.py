"""What a summary says, against sums by hand; the page in a browser's eyes: whole, without other files, with sounds."""

from __future__ import annotations

import base64
import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quaclrs.archive.rows import COLUMNS
from quaclrs.archive.summary import summarize
from quaclrs.cli import main

RATE = 16_000


def row(file: str, start: float, end: float, label: str, score: float, level: float, time: str | None) -> dict:
    return dict(zip(COLUMNS, (file, start, end, label, score, level, time), strict=True))


# 10 April 2023 was a Monday.
ROWS = [
    row("a.wav", 0.0, 100.0, "dog_bark", 0.9, -20.2, "2023-04-10T23:59:20.000"),
    row("a.wav", 100.0, 130.0, "other", 0.6, -40.0, "2023-04-11T00:01:00.000"),
    row("b.wav", 0.0, 5.0, "dog_bark", 0.5, -30.0, None),
    row("b.wav", 5.0, 10.0, "drilling", 0.8, -10.0, None),
    row("c.wav", 0.0, 10.0, "dog_bark", 0.3, -50.0, "2023-04-10T12:00:00.000+02:00"),
]


def test_hours_go_to_the_weekday_and_hour_of_the_recorders_clock_in_which_they_lie():
    found = summarize(ROWS, examples=1)
    dog = found.classes["dog_bark"]
    assert dict(dog.by_hour) == {(0, 23): 40.0, (1, 0): 60.0, (0, 12): 10.0}
    assert dict(found.by_hour) == {(0, 23): 40.0, (1, 0): 90.0, (0, 12): 10.0}
    assert (found.files, found.seconds, found.timed_seconds) == (3, 150.0, 140.0)
    assert [found.first.isoformat(), found.last.isoformat()] == ["2023-04-10T12:00:00", "2023-04-11T00:01:30"]


def test_classes_come_by_their_time_with_what_is_no_class_last():
    found = summarize(ROWS)
    assert {name: (c.seconds, c.segments) for name, c in found.classes.items()} == {
        "dog_bark": (115.0, 3),
        "drilling": (5.0, 1),
        "other": (30.0, 1),
    }
    assert list(found.classes) == ["dog_bark", "drilling", "other"]


def test_levels_are_quantiles_of_time():
    dog = summarize(ROWS).classes["dog_bark"]  # 10 s at -50, 5 s at -30, 100 s at -20
    assert [dog.level(share) for share in (0.05, 0.1, 0.13, 0.5, 0.9)] == [-50, -30, -30, -20, -20]


def test_examples_are_the_surest_and_the_least_sure_and_none_is_both():
    dog = summarize(ROWS, examples=2).classes["dog_bark"]
    assert [example["score"] for example in dog.surest] == [0.9, 0.5]
    assert [example["score"] for example in dog.least_sure] == [0.3]
    assert summarize(ROWS).classes["other"].surest == []


@pytest.fixture
def table(tmp_path: Path) -> Path:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(130 * RATE) / RATE)
    soundfile.write(tmp_path / "a.wav", tone, RATE)
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(ROWS)
    return tmp_path / "labels.csv"


class Page(HTMLParser):
    """Tags that are open, and what points elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "rect", "line", "circle", "!doctype"):
            self.stack.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href") and value]

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line", "circle"):
            assert self.stack.pop() == tag


def test_the_page_is_whole_needs_no_other_file_and_plays_what_the_table_names(table, monkeypatch, capsys):
    monkeypatch.chdir(table.parent)
    assert main(["summary", "labels.csv", "--title", "Harbour & <street>", "--output", "out/page.html"]) == 0
    assert capsys.readouterr().out == "out/page.html\n"
    text = Path("out/page.html").read_text()
    page = Page(text)
    assert page.stack == []
    assert page.links and all(link.startswith("data:audio/mpeg;base64,") for link in page.links)
    assert "<h1>Harbour &amp; &lt;street&gt;</h1>" in text
    assert "10 April 2023, 12:00 to 11 April 2023, 00:01" in text
    assert "1.9 min, 76.7%" in text  # 115 of 150 s of dogs
    assert "Most on Mon from 23:00, 100%" in text or "Most on Mon from 12:00, 100%" in text
    assert "not at hand" in text  # b.wav and c.wav

    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(page.links[0].partition(",")[2])))
    spectrum = np.abs(np.fft.rfft(sound))
    assert np.argmax(spectrum) * rate / len(sound) == pytest.approx(440, abs=1)
    assert len(sound) / rate == pytest.approx(6.0, abs=0.2)


def test_a_folder_in_place_of_the_page_is_named_in_one_line(table, tmp_path, expect_one_error_line):
    assert main(["summary", str(table), "--output", str(tmp_path)]) == 2
    expect_one_error_line("is a folder; give the name of a page in it")


def test_a_folder_of_sounds_that_is_not_there_is_named(table, tmp_path, expect_one_error_line):
    page = tmp_path / "page.html"
    assert main(["summary", str(table), "--sounds", str(tmp_path / "nosuch"), "--output", str(page)]) == 2
    expect_one_error_line(f"--sounds {tmp_path / 'nosuch'} is not a folder")
    assert not page.exists()


def test_an_archive_without_times_has_no_week(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = re.sub(r"2023-04-1[^\n\r]*", "", table.read_text())
    (tmp_path / "untimed.csv").write_text(text)
    assert main(["summary", "untimed.csv", "--examples", "0"]) == 0
    page = (tmp_path / "summary.html").read_text()
    assert "do not say when they were made" in page
    assert "When</h2>" not in page and "What was heard" in page and "<audio" not in page


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "does not exist; give a table"),
        ("other.csv", "a,b\n1,2\n", "is not a table of `quaclrs annotate` (it lacks 'file')"),
        (
            "by_a_spreadsheet.csv",
            "file,start,end,label,score,level,time\na,0,1,dog,1,-9,15/04/2023 06:30\n",
            "is not a table of `quaclrs annotate` (Invalid isoformat string",
        ),
        ("empty.csv", "file,start,end,label,score,level,time\n", "holds no rows"),
        ("other.jsonl", "no json\n", "is not a table of `quaclrs annotate`"),
        ("table.txt", "x", "ends in none of .parquet"),
    ],
)
def test_what_is_no_table_is_named_in_one_line(name, content, words, tmp_path, expect_one_error_line):
    if content is not None:
        (tmp_path / name).write_text(content)
    assert main(["summary", str(tmp_path / name), "--output", str(tmp_path / "page.html")]) == 2
    expect_one_error_line(words)
