"""Fill tables of README and pages with the figures of `docs/results/runs/*.json`, the one source of each number.

A comment above a table names the file, conditions on its rows where not all are wanted (`row=1,3`: the first and the
third of them), and the cells of a row:

    <!-- figures: few_labels.json clips=10 |{method}|{accuracy:.1p}|{accuracy[low]:.1p} to {accuracy[high]:.1p}| -->

`python docs/figures.py` writes the rows below the table's head and the line `Source: …` below the table. `--check`
changes nothing, names what would be written otherwise, and fails if anything would; a test runs it too.

Formats are Python's, and `p`, per cent without its sign. A figure with a deviation or an interval shows them: `65.6 ±
8.5% (60.0 to 71.8)`. A cell is a dash where a row lacks one of its figures.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "docs" / "results" / "runs"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_TABLE = re.compile(
    r"(?P<comment><!-- figures: (?P<file>\S+)(?P<conditions>[^|]*)\|(?P<cells>.*)\| -->\n)"
    r"(?P<head>\n*\|.*\n\|[-:| ]+\n)(?P<rows>(?:\|.*\n)*)(?:\n<small>Source: .*\n)?"
)
_DASH, _MISSING = "–", "\0"


class Figure:
    """A number, or one with any of a standard deviation and an interval, that formats itself."""

    def __init__(self, value: Any) -> None:
        self.parts: Mapping[str, Any] = value if isinstance(value, dict) else {"value": value}

    def __getitem__(self, part: str) -> Figure:
        return Figure(self.parts.get(part))

    def __format__(self, spec: str) -> str:
        value, std, low, high = (self.parts.get(name) for name in ("value", "std", "low", "high"))
        if isinstance(value, str):
            return value
        interval = None if low is None else f"{_number(low, spec)} to {_number(high, spec)}"
        if value is None:
            return interval or _MISSING
        spread = "" if std is None else f" ± {_number(std, spec.lstrip('+'))}"
        unit = "%" if spec.endswith("%") else ""
        return f"{_number(value, spec)}{spread}{unit}" + (f" ({interval})" if interval else "")


class _Row(dict):
    """Figures of a row by name; those that it lacks are missing."""

    def __missing__(self, name: str) -> Figure:
        return Figure(None)


def _number(value: float, spec: str) -> str:
    if spec.endswith(("p", "%")):
        return format(100 * value, f"{spec[:-1]}f")
    return format(value, spec)


def fill(text: str, page: Path, runs: Path = RUNS) -> str:
    """A page's text with its tables filled.

    Raises:
        ValueError: a comment names a file, a row or a figure that is not there; the message names it.
    """

    def filled(found: re.Match[str]) -> str:
        file = runs / found["file"]
        record = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        if record is None:
            raise ValueError(f"{page.name}: {file} does not exist; name a file of {runs}")
        rows = _select(record["rows"], found["conditions"].split())
        cells = [cell.strip() for cell in found["cells"].split("|")]
        names = {name for cell in cells for name in re.findall(r"\{([^}:\[]+)", cell)}
        if lacking := sorted(names - {name for row in rows for name in row}):
            raise ValueError(f"{page.name}: no row of {file.name}{found['conditions'].rstrip()} has {lacking[0]}")
        lines = "".join(f"| {' | '.join(_cells(cells, row))} |\n" for row in rows)
        link = Path(os.path.relpath(file, page.parent)).as_posix()
        how = ", copied from the command's output" if record.get("source") == "copied" else ""
        source = f"<small>Source: [{file.name}]({link}), {record['date']}{how}.</small>"
        return f"{found['comment']}{found['head']}{lines}\n{source}\n"

    return _TABLE.sub(filled, text)


def _cells(cells: list[str], row: Mapping[str, Any]) -> Iterator[str]:
    figures = _Row({name: Figure(value) for name, value in row.items()})
    for cell in cells:
        made = cell.format_map(figures)
        yield _DASH if _MISSING in made else made


def _select(rows: list[dict[str, Any]], conditions: list[str]) -> list[dict[str, Any]]:
    """Rows that meet conditions `name=value,value`; `row=1,3` takes the first and the third of those that are left."""
    for condition in conditions:
        name, _, values = condition.partition("=")
        if name == "row":
            rows = [rows[int(number) - 1] for number in values.split(",") if int(number) <= len(rows)]
        else:
            rows = [row for row in rows if str(row.get(name)) in values.split(",")]
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python docs/figures.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page would change")
    check, stale = parser.parse_args(arguments).check, 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        try:
            made = fill(text, page)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        if made != text:
            stale += 1
            print(f"{page.relative_to(ROOT)}: " + ("run python docs/figures.py" if check else "written"))
            if not check:
                page.write_text(made, encoding="utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
