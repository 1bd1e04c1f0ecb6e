"""One source of figures: tables are filled from records, and what the text around them says stands there too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.figures import ROOT, RUNS, fill, main

CARD = ROOT / "quaclrs" / "default_model" / "README.md"
RESULTS = sorted((ROOT / "docs" / "results").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "docs" / "learn.md", ROOT / "docs" / "annotate.md", *RESULTS]

#: Other texts that tell figures: a page that sums up others, how-tos, the data set's card.
ELSEWHERE = [
    ROOT / "docs" / "results" / "index.md",
    ROOT / "docs" / "how-to" / "few-labels.md",
    ROOT / "docs" / "concepts" / "front-end.md",
    ROOT / "dataset_builder" / "card" / "text.py",
]

#: Pages that a command writes from files of its own (`training.reproduce`); its tests compare the two.
WRITTEN_BY_COMMANDS = {"paper.md", "questions.md"}

_TABLE = re.compile(r"((?:^\|.*\n)+)\n(.*)", re.MULTILINE)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")

#: Numbers of a text that were measured, by their form: a decimal point, thousands, or a unit of what is measured.
_MEASURED = re.compile(r"-?\d[\d,]*\.\d+|\d+,\d{3}|\d+(?= (?:%(?! interval)|points|times|ms|MB|dB)(?!\w))")

#: What a text says without measuring: commands, addresses, code, headings, the table itself, versions.
_NOT_MEASURED = re.compile(
    r"```[\s\S]*?```|`[^`]*`|<!--.*?-->|\]\([^)]*\)|^[|#].*|<small>.*?</small>"
    r"|\d+\.\d+\.\d+|Python \d\.\d+|Apache-\d\.\d|CC [-\w]+(?: [-\w]+)? \d\.\d",
    re.MULTILINE,
)


def figures_of(table: str) -> list[str]:
    """Numbers of a table's rows: those with a decimal point, and those of cells without a letter."""
    cells = [cell for row in table.splitlines()[2:] for cell in row.strip("| ").split("|")]
    return [n for cell in cells for n in _NUMBER.findall(cell) if "." in n or not re.search("[A-Za-z]", cell)]


def missing_figures(figures: list[str], values: list[float]) -> list[str]:
    """The figures that no value rounds to, as it is or in per cent."""
    plain = [figure.replace(",", "") for figure in figures]
    return [
        figure
        for figure in plain
        if not any(f"{scale * v:.{len(figure.partition('.')[2])}f}" == figure for v in values for scale in (1, 100))
    ]


def numbers_in(value: object) -> Iterator[float]:
    """Every number of a JSON value, however deep, those in its texts too."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers_in(part)
    elif isinstance(value, str):
        yield from (float(number.replace(",", "")) for number in _NUMBER.findall(value))
    elif isinstance(value, int | float):
        yield value


def records_of(page: Path, text: str) -> list[Path]:
    """Records that a page names."""
    return [page.parent / link for link in re.findall(r"\]\(([^)]+\.json)\)", text)]


def values_of(files: list[Path]) -> list[float]:
    return [value for file in files for value in numbers_in(json.loads(file.read_text(encoding="utf-8")))]


def test_every_filled_table_is_as_its_record_says(capsys):
    assert main(["--check"]) == 0, capsys.readouterr()


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in WRITTEN_BY_COMMANDS], ids=lambda p: p.name)
def test_every_figure_of_a_table_stands_in_the_record_below_it(page):
    for table, below in _TABLE.findall(page.read_text(encoding="utf-8")):
        if figures := figures_of(table):
            files = records_of(page, below)
            assert below.startswith("<small>Source: ") and files, f"a table without a record: {table[:80]}"
            assert missing_figures(figures, values_of(files)) == [], table[:80]


@pytest.mark.parametrize("page", [p for p in PAGES if "<!-- figures: " in p.read_text("utf-8")], ids=lambda p: p.name)
def test_every_measured_number_of_a_text_stands_in_a_record_that_the_page_names(page):
    text = page.read_text(encoding="utf-8")
    numbers = _MEASURED.findall(_NOT_MEASURED.sub(" ", text))
    assert missing_figures(numbers, values_of(records_of(page, text))) == []


@pytest.mark.parametrize("file", ELSEWHERE, ids=lambda file: file.name)
def test_every_measured_number_of_other_texts_stands_in_some_record(file):
    numbers = _MEASURED.findall(_NOT_MEASURED.sub(" ", file.read_text(encoding="utf-8")))
    assert missing_figures(numbers, values_of(sorted(RUNS.rglob("*.json")))) == []


def test_the_models_card_has_the_figures_of_its_record():
    text = CARD.read_text(encoding="utf-8")
    values = values_of([RUNS / "model.json"])
    tables = [table for table, _ in _TABLE.findall(text)]
    assert sum(len(figures_of(table)) for table in tables) > 90
    assert [missing_figures(figures_of(table), values) for table in tables] == [[], [], []]


def test_a_record_says_its_command_its_date_and_its_machine():
    named = {file for page in PAGES for file in re.findall(r"<!-- figures: (\S+)", page.read_text(encoding="utf-8"))}
    assert len(named) > 15
    for file in sorted(RUNS / name for name in named):
        record = json.loads(file.read_text(encoding="utf-8"))
        assert record.keys() >= {"command", "date", "machine", "rows"}, file.name
        assert len(file.read_bytes()) < 20_000, f"{file.name}: a record holds figures, not clips"


def test_a_table_is_filled_by_conditions_and_formats(tmp_path):
    rows = [
        {"kind": "a", "share": {"value": 0.6564998, "std": 0.085, "low": 0.6, "high": 0.718}, "ms": 2},
        {"kind": "b", "share": 0.5},
        {"kind": "b", "share": -0.004, "ms": {"low": 1.26, "high": 3}},
    ]
    record = {"command": "c", "date": "2026-01-02", "source": "copied", "rows": rows}
    (tmp_path / "x.json").write_text(json.dumps(record))
    head = "| kind | share | ms |\n|---|---|---|\n"
    old = head + "| old | 9 | 9 |\n\n<small>Source: nothing</small>\nafter\n"

    text = fill("<!-- figures: x.json |{kind}|{share:.1%}|{ms:.1f}| -->\n" + old, tmp_path / "page.md", tmp_path)
    chosen = fill("<!-- figures: x.json kind=b row=2 |{share:+.1p}| -->\n\n" + old, tmp_path / "page.md", tmp_path)

    assert text.splitlines()[3:6] == ["| a | 65.6 ± 8.5% (60.0 to 71.8) | 2.0 |", "| b | 50.0% | – |",
                                      "| b | -0.4% | 1.3 to 3.0 |"]  # fmt: skip
    assert text.splitlines()[7:] == ["<small>Source: [x.json](x.json), 2026-01-02, copied from the command's output."
                                     "</small>", "after"]  # fmt: skip
    assert chosen.splitlines()[2:5] == [*head.splitlines(), "| -0.4 |"]
    for wrong in ("y.json |{kind}|", "x.json kind=c |{kind}|", "x.json |{kinds}|"):
        with pytest.raises(ValueError, match=r"page\.md: "):
            fill(f"<!-- figures: {wrong} -->\n{old}", tmp_path / "page.md", tmp_path)


def test_a_figure_that_its_record_lacks_is_found():
    values = list(numbers_in({"a": [0.6571, {"b": 2.21}], "c": "1,203 clips"}))
    assert figures_of("| x | y |\n|---|---|\n| 65.7 | 2.2 |\n| fold 1 | 65.8 |") == ["65.7", "2.2", "65.8"]
    assert missing_figures(["65.7", "2.2", "65.8", "1,203"], values) == ["65.8"]
    assert _MEASURED.findall("12 % of 1,203 clips, 95 % interval, 4 points, 0.5 s, fold 3") == [
        "12",
        "1,203",
        "4",
        "0.5",
    ]
