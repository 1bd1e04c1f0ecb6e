"""The report on a learned model: one HTML page that needs no other file, its pictures drawn as SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from ..evaluation.reports.tables import percent, percent_range
from .background import why_dropped
from .card import summary_line
from .report import LearnReport
from .worth import Curve, Worth

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: 0.25rem 0.8rem; border-bottom: 1px solid #ddd; }
th { text-align: left; } svg { max-width: 100%; height: auto; } .number { text-align: right; }
.warning { background: #fff4d6; padding: 0.5rem 1rem; border-left: 4px solid #e69f00; }
"""

#: Colours of the pictures: a blue for shares, which grows darker with them.
_BLUE = "#0072b2"

#: Pixels of a cell, and those that the name of a class may take.
_CELL, _NAME = 34, 150

_e = html.escape


def report_page(report: LearnReport) -> str:
    """The page as text."""
    worth = report.worth
    title = f"{len(worth.classes)} sounds, learned from {report.clips} clips"
    few = [entry for entry in worth.classes if entry.judged]
    parts = [f"<h1>{_e(title)}</h1>", f"<p>{_e(summary_line(report))}</p>"]
    if few:
        names = ", ".join(f"{_e(entry.label)} ({_e(entry.judged)})" for entry in few)
        parts.append(f"<p class='warning'>Too few recordings to judge: {names}. Record more of them.</p>")
    if report.left_out:
        parts.append(f"<p class='warning'>{len(report.left_out)} sounds were left out; they are listed below.</p>")
    rows = [
        (_e(c.label), str(c.clips), str(c.recordings), percent(c.recall), percent_range(c.interval))
        for c in worth.classes
    ]
    parts += [
        "<h2>Every class</h2>",
        _table(rows, ("class", "clips", "recordings", "recall", "95 % interval"), numbers=True),
    ]
    if worth.clips:
        parts += ["<h2>What was taken for what</h2>", _confusion(worth)]
    if len(report.curve.points) > 1:
        parts += ["<h2>What more labels would bring</h2>", _curve(report.curve)]
    if worth.calibration_error is not None:
        parts.append(
            f"<p>Scores are off by {percent(worth.calibration_error)} on the whole: where a score says 80 %, "
            "the share of right answers may be that much higher or lower.</p>"
        )
    if worth.suspects:
        suspects = [
            (_e(s.name), _e(s.label), percent(s.score_of_label), _e(s.heard), percent(s.score)) for s in worth.suspects
        ]
        parts += [
            "<h2>Perhaps mislabelled</h2><p>Heard by classifiers that had not heard their recordings.</p>",
            _table(suspects, ("clip", "labelled", "score", "sounds like", "score")),
        ]
    parts += ["<h2>Background</h2>", f"<p>{_background(report)}</p>"]
    if report.unlabelled is not None:
        told = (
            "were learned from too" if report.unlabelled_heard else "did not help on held-out clips and were not used"
        )
        parts.append(f"<h2>Without labels</h2><p>{report.unlabelled:,} windows without labels {told}.</p>")
    if report.left_out:
        reasons = "".join(f"<li>{_e(reason)}</li>" for reason in report.left_out.values())
        parts.append(f"<h2>Left out</h2><ul>{reasons}</ul>")
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{_e(title)}</title>"
    body = "\n".join(parts)
    return (
        f"<!doctype html>\n<html lang='en'><head>{head}<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _table(rows: Sequence[Sequence[str]], header: Sequence[str], numbers: bool = False) -> str:
    kind = " class='number'" if numbers else ""
    head = "".join(f"<th>{_e(cell)}</th>" for cell in header)
    lines = "".join(
        f"<tr><td>{row[0]}</td>{''.join(f'<td{kind}>{cell}</td>' for cell in row[1:])}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{lines}</table>"


def _background(report: LearnReport) -> str:
    if not report.background_kinds and "other" not in report.worth.columns:
        return "None was heard: every sound is called one of the classes."
    told = f"{len(report.background_kinds)} kinds of other sounds were heard, so that they are called other."
    if report.background_named is not None:
        told += (
            f" Of kinds that were held out, {percent(report.background_named)} of the clips were named a class, "
            f"{percent(report.background_certain)} with a score above 0.5."
        )
    for kind, label in report.background_dropped.items():
        told += f" {_e(kind)} was left out, {why_dropped(kind, _e(label))}."
    return told


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f"<text x='{x:.0f}' y='{y:.0f}' {more}>{_e(text)}</text>"


def _confusion(worth: Worth) -> str:
    """The confusion matrix, a row a true class; shares of a row as shades, counts as numbers."""
    names = [entry.label for entry in worth.classes]
    left, top = _NAME, _NAME
    width, height = left + _CELL * len(worth.columns) + 10, top + _CELL * len(names) + 10
    drawn = []
    for column, name in enumerate(worth.columns):
        x = left + _CELL * (column + 0.6)
        drawn.append(_text(x, top - 6, _short(name), f"transform='rotate(-60 {x:.0f} {top - 6})'"))
    for row, (name, counts) in enumerate(zip(names, worth.confusion, strict=True)):
        y = top + _CELL * row
        drawn.append(_text(left - 8, y + _CELL * 0.65, _short(name), "text-anchor='end'"))
        total = max(1, int(counts.sum()))
        for column, count in enumerate(counts.tolist()):
            x, share = left + _CELL * column, count / total
            told = _e(f"{name}: {count} of {total} taken for {worth.columns[column]}")
            drawn.append(
                f"<rect x='{x}' y='{y}' width='{_CELL - 1}' height='{_CELL - 1}' fill='{_BLUE}' "
                f"fill-opacity='{0.04 + 0.96 * share:.2f}'><title>{told}</title></rect>"
            )
            if count:
                colour = "#fff" if share > 0.5 else "#1c1c1c"
                place = f"text-anchor='middle' fill='{colour}'"
                drawn.append(_text(x + _CELL / 2, y + _CELL * 0.65, str(count), place))
    return _svg(width, height, drawn, "Confusion matrix: rows are true classes, columns answers")


def _curve(curve: Curve) -> str:
    """Accuracy by recordings heard, on a logarithmic axis, and the expected point at twice as many."""
    points = [(float(count), value) for count, value in curve.points]
    expected = [(2 * points[-1][0], curve.twice)] if curve.twice is not None else []
    width, height, left, bottom = 520, 260, 60, 40
    lowest, highest = points[0][0], (expected or points)[-1][0]

    def place(count: float, value: float) -> tuple[float, float]:
        along = math.log(count / lowest) / max(math.log(highest / lowest), 1e-9)
        return left + along * (width - left - 60), (height - bottom) * (1 - value) + 10

    drawn = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        _, y = place(lowest, share)
        drawn.append(f"<line x1='{left}' y1='{y:.0f}' x2='{width - 40}' y2='{y:.0f}' stroke='#ddd'/>")
        drawn.append(_text(left - 8, y + 5, f"{100 * share:.0f} %", "text-anchor='end'"))
    placed = [place(*point) for point in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    drawn.append(f"<polyline points='{path}' fill='none' stroke='{_BLUE}' stroke-width='2'/>")
    for count, value in expected:
        x, y = place(count, value or 0.0)
        drawn.append(
            f"<line x1='{placed[-1][0]:.1f}' y1='{placed[-1][1]:.1f}' x2='{x:.1f}' y2='{y:.1f}' stroke='{_BLUE}' "
            "stroke-dasharray='5 4'/>"
        )
    for (count, value), hollow in [*((p, False) for p in points), *((p, True) for p in expected)]:
        x, y = place(count, value or 0.0)
        fill = "#fff" if hollow else _BLUE
        drawn.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='5' fill='{fill}' stroke='{_BLUE}'/>")
        drawn.append(_text(x, y - 10, percent(value), "text-anchor='middle'"))
        drawn.append(_text(x, height - 8, f"{count:.0f}" + (" (expected)" if hollow else ""), "text-anchor='middle'"))
    return _svg(width, height + 10, drawn, "Held-out accuracy by recordings that were learned from")


def _svg(width: float, height: float, drawn: Sequence[str], title: str) -> str:
    body = "".join(drawn)
    size = f"viewBox='0 0 {width:.0f} {height:.0f}' width='{width:.0f}' height='{height:.0f}'"
    return f"<svg {size} font-size='13' font-family='sans-serif' role='img'><title>{_e(title)}</title>{body}</svg>"


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"
