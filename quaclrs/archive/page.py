"""Write a summary as one HTML page that needs no other file, for screen and print."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import soundfile
import soxr

from ..audio import AudioError, read_part
from .charts import DAYS, Bar, bar_chart, day_chart, heat_map, range_chart, strip_chart
from .summary import NO_CLASS, ClassSummary, Summary

#: Seconds of an example at most, and beside a shorter one.
_LONGEST, _MARGIN = 6.0, 0.5

#: Rate of the examples, Hz: one that MP3 knows, above all that the models hear.
_MP3_RATE = 32_000

#: Classes whose days are drawn: the longest.
_MOST_DAYS = 12

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
@page { size: A4; margin: 16mm; }
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; max-width: 760px; margin: 2.5rem auto; padding: 0 1rem;
  color: #1c1c1c; background: #fff; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
header { border-bottom: 3px solid #0072B2; padding-bottom: .8rem; margin-bottom: 1.4rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
p { margin: .3rem 0 .8rem; } .soft, figcaption, small { color: #5a5a5a; }
svg { width: 100%; height: auto; font-size: 13px; fill: #1c1c1c; display: block; }
svg .soft { fill: #6a6a6a; font-size: 12px; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem 2.6rem; margin: 1.2rem 0; }
.figures b { display: block; font-size: 1.55rem; font-weight: 600; line-height: 1.25; }
.days { display: grid; grid-template-columns: repeat(auto-fill, minmax(210px, 1fr)); gap: 1.1rem 1.6rem; }
.days h3 { font-size: .9rem; font-weight: 600; margin: 0 0 .2rem; } section, .days div, tr { break-inside: avoid; }
table { border-collapse: collapse; width: 100%; } td:first-child { width: 8.5rem; }
td, th { padding: .5rem .8rem .5rem 0; border-bottom: 1px solid #e2e2e2; text-align: left; vertical-align: top; }
.example { margin-bottom: .6rem; }
.example small { font-size: .76rem; line-height: 1.35; display: block; word-break: break-all; }
audio { height: 2rem; width: 100%; max-width: 15rem; display: block; } @media print { audio { display: none; } }
footer { margin-top: 2.5rem; border-top: 1px solid #ddd; padding-top: .8rem; font-size: .85rem; color: #5a5a5a; }
</style></head><body>
<header><h1>$title</h1><p class="soft">$period</p></header>
<div class="figures">$figures</div>
$sections
<footer>$footer</footer>
</body></html>
""")


def summary_page(summary: Summary, title: str, encoded: Callable[[dict[str, Any]], bytes | None]) -> str:
    """Write the page.

    Args:
        summary: what it says.
        title: its heading.
        encoded: an MP3 of a row of the table, or None where its file is not at hand.
    """
    of_classes = {name: found for name, found in summary.classes.items() if name not in NO_CLASS}
    event_seconds = sum(found.seconds for found in of_classes.values())
    figures = [
        (duration(summary.seconds), "recorded"),
        (f"{summary.files:,}", "recording" if summary.files == 1 else "recordings"),
        (duration(event_seconds), f"with a named sound, {event_seconds / max(summary.seconds, 1e-9):.0%}"),
    ]
    if summary.first and summary.last:
        days = (summary.last.date() - summary.first.date()).days + 1
        figures.insert(0, (f"{days:,}", "day" if days == 1 else "days"))
        period = f"{_moment(summary.first)} to {_moment(summary.last)}, by the recorders' clocks"
    else:
        period = "The recordings do not say when they were made."
    sections = [_hours(summary)]
    if summary.by_hour:
        sections += [_week(summary, of_classes), _days(summary, of_classes)]
    if of_classes:
        sections += [_levels(of_classes), _examples(of_classes, encoded)]
    told = "".join(f"<div><b>{html.escape(value)}</b>{html.escape(words)}</div>" for value, words in figures)
    return _PAGE.substitute(
        title=html.escape(title), period=period, figures=told, sections="\n".join(sections), footer=_footer(summary)
    )


def _moment(time: datetime) -> str:
    return f"{time.day} {time:%B %Y, %H:%M}"


def duration(seconds: float) -> str:
    """Seconds in words: `340 h`, `2.4 h`, `12 min`, `40 s`."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:,.0f} {unit}" if seconds >= 10 * size else f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def in_words(label: str) -> str:
    """`dog_bark` as `Dog bark`."""
    return label.replace("_", " ").capitalize()


def _section(heading: str, words: str, content: str) -> str:
    return f"<section><h2>{heading}</h2><p class='soft'>{words}</p>{content}</section>"


def _hours(summary: Summary) -> str:
    shares = {"Named sounds": 0.0} | {in_words(name): 0.0 for name in NO_CLASS}
    bars = []
    for name, found in summary.classes.items():
        share = found.seconds / max(summary.seconds, 1e-9)
        if name in NO_CLASS:
            shares[in_words(name)] = share
        else:
            shares["Named sounds"] += share
            bars.append(Bar(in_words(name), found.seconds, f"{duration(found.seconds)}, {share:.1%}"))
    words = "Share of the recorded time, and the time in which each sound was the most prominent."
    parts = {name: share for name, share in shares.items() if share}
    return _section("What was heard", words, strip_chart(parts, "named sounds, others and silence")
                    + bar_chart(bars, "hours by class"))  # fmt: skip


def _week(summary: Summary, of_classes: dict[str, ClassSummary]) -> str:
    shares = {
        hour: sum(found.by_hour.get(hour, 0.0) for found in of_classes.values()) / seconds
        for hour, seconds in summary.by_hour.items()
    }
    words = "Share of the recorded time with a named sound, by weekday and hour. Empty squares were not recorded."
    busiest = max(shares, key=lambda hour: shares[hour])
    if shares[busiest] > 0:
        words += f" Most on {DAYS[busiest[0]]} from {busiest[1]:02}:00, {shares[busiest]:.0%}."
    return _section("When", words, heat_map(shares, "share of time with a named sound by weekday and hour"))


def _days(summary: Summary, of_classes: dict[str, ClassSummary]) -> str:
    recorded = [sum(seconds for (_, at), seconds in summary.by_hour.items() if at == hour) for hour in range(24)]
    charts = []
    for name, found in [*of_classes.items()][:_MOST_DAYS]:
        heard = [sum(seconds for (_, at), seconds in found.by_hour.items() if at == hour) for hour in range(24)]
        minutes = [60 * h / r if r else None for h, r in zip(heard, recorded, strict=True)]
        most = max((value for value in minutes if value is not None), default=0.0)
        charts.append(
            f"<div><h3>{html.escape(in_words(name))} <small>up to {most:.1f} min</small></h3>"
            f"{day_chart(minutes, f'{name} by hour of day')}</div>"
        )
    words = "Minutes in each recorded hour, over the day. Each chart has a scale of its own."
    return _section("Through the day", words, f"<div class='days'>{''.join(charts)}</div>")


def _levels(of_classes: dict[str, ClassSummary]) -> str:
    ranges = {in_words(name): (f.level(0.1), f.level(0.5), f.level(0.9)) for name, f in of_classes.items()}
    words = (
        "Level in dB relative to the recorders' full scale: the median, and the range of the middle 80% of the time. "
        "Without a calibrated microphone these compare sounds with each other; they are not sound pressure levels."
    )
    return _section("How loud", words, range_chart(ranges, "levels by class"))


def _examples(of_classes: dict[str, ClassSummary], encoded: Callable[[dict[str, Any]], bytes | None]) -> str:
    def cell(examples: list[dict[str, Any]]) -> str:
        return "".join(f"<div class='example'>{_player(encoded(row))}{_where(row)}</div>" for row in examples)

    rows = [
        f"<tr><td>{html.escape(in_words(name))}</td><td>{cell(f.surest)}</td><td>{cell(f.least_sure)}</td></tr>"
        for name, f in of_classes.items()
    ]
    words = "The surest and the least sure of every class, with their scores: listen before you trust a figure."
    header = "<tr><th>Sound</th><th>Surest</th><th>Least sure</th></tr>"
    return _section("Examples", words, f"<table>{header}{''.join(rows)}</table>")


def _player(content: bytes | None) -> str:
    if content is None:
        return "<small>not at hand</small>"
    data = base64.b64encode(content).decode()
    return f'<audio controls preload="none" src="data:audio/mpeg;base64,{data}"></audio>'


def _where(row: dict[str, Any]) -> str:
    return f"<small>{row['score']:.0%} · {html.escape(row['file'])}<br>{_at(row)}</small>"


def _at(row: dict[str, Any]) -> str:
    place = f"{row['start']:.1f} to {row['end']:.1f} s"
    return f"{row['time'][:19].replace('T', ' ')}, {place}" if row["time"] else place


def _footer(summary: Summary) -> str:
    untimed = summary.seconds - summary.timed_seconds
    lines = [
        "Made by <code>quaclrs annotate</code> and <code>quaclrs summary</code>. Labels come from a classifier, which "
        "errs: its card says how often, and sounds that it never heard may bear a wrong name."
    ]
    if summary.by_hour and untimed > 1:
        lines.append(f"{duration(untimed)} of recordings do not say when they were made, and are left out of times.")
    return " ".join(lines)


def example_of(row: dict[str, Any], sounds: Path) -> bytes | None:
    """Cut the middle of a row of the table as MP3, mono; None where its file is not below `sounds`, or damaged."""
    file = sounds / row["file"]
    length = min(_LONGEST, row["end"] - row["start"] + 2 * _MARGIN)
    begin = max(0.0, (row["start"] + row["end"] - length) / 2)
    try:
        part = read_part(file, begin, begin + length)
    except AudioError:
        return None
    return encode_mp3(part.waveform[0], part.sampling_rate) if part.duration else None


def encode_mp3(waveform: np.ndarray, rate: int) -> bytes:
    """Encode a waveform (samples,) as MP3, at a rate that every browser plays; quiet ones are made louder."""
    peak = float(np.abs(waveform).max(initial=0))
    loud = waveform * np.float32(min(0.7 / peak, 100.0) if 0 < peak < 0.7 else 1.0)
    file = io.BytesIO()
    resampled = np.clip(soxr.resample(loud, rate, _MP3_RATE), -1, 1)
    soundfile.write(file, resampled, _MP3_RATE, format="MP3", subtype="MPEG_LAYER_III")
    return file.getvalue()
