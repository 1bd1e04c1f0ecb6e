"""Charts of a summary as inline SVG: bars, a week as a heat map, days as small bars, levels as ranges."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Okabe and Ito's blue (2008), and from pale to dark for amounts; grey for the rest.
_PALE, _DARK = (235, 243, 249), (0, 84, 140)
BLUE, GREY = "#0072B2", "#9a9a9a"

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True)
class Bar:
    """A row of a chart: its name, its value, and the words behind it."""

    name: str
    value: float
    words: str


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{html.escape(title, quote=True)}">'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{of_kind}>{html.escape(words)}</text>'


def strip_chart(shares: Mapping[str, float], title: str) -> str:
    """Shares of a whole, in [0, 1], side by side in one strip, the first in blue; their names and shares below it."""
    width, x, place = 720, 0.0, 0.0
    parts = []
    for number, (name, share) in enumerate(shares.items()):
        colour = (BLUE, GREY, "#c9c9c9", "#e2e2e2")[min(number, 3)]
        parts.append(f'<rect x="{x:.1f}" y="0" width="{max(share * width - 1, 1):.1f}" height="22" fill="{colour}"/>')
        parts.append(f'<rect x="{place}" y="32" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(place + 16, 41, f"{name} {share:.1%}"))
        x, place = x + share * width, place + 175
    return _svg(width, 60, title, parts)


def bar_chart(bars: Sequence[Bar], title: str) -> str:
    """Bars one below the other, from the left, each with its words behind it."""
    row, left, width = 26, 150, 720
    most = max((bar.value for bar in bars), default=0.0) or 1.0
    parts = []
    for number, bar in enumerate(bars):
        y = number * row
        length = (width - left - 150) * bar.value / most
        parts.append(_text(left - 10, y + 17, bar.name, "end"))
        parts.append(f'<rect x="{left}" y="{y + 4}" width="{max(length, 1):.1f}" height="18" fill="{BLUE}"/>')
        parts.append(_text(left + length + 8, y + 17, bar.words, kind="soft"))
    return _svg(width, len(bars) * row, title, parts)


def heat_map(shares: Mapping[tuple[int, int], float], title: str) -> str:
    """A week, hour by hour: (weekday, hour) -> a share in [0, 1]; hours that are not in it were not recorded."""
    size, left, top = 26, 46, 4
    most = max(shares.values(), default=0.0) or 1.0
    parts = []
    for day, name in enumerate(DAYS):
        y = top + day * size
        parts.append(_text(left - 8, y + 17, name, "end"))
        for hour in range(24):
            share = shares.get((day, hour))
            words = "not recorded" if share is None else f"{share:.1%}"
            fill = "none" if share is None else _shade(share / most)
            stroke = ' stroke="#d8d8d8"' if share is None else ""
            parts.append(
                f'<rect x="{left + hour * size + 1}" y="{y + 1}" width="{size - 2}" height="{size - 2}" fill="{fill}"'
                f"{stroke}><title>{name} {hour:02}:00, {words}</title></rect>"
            )
    below = top + 7 * size + 16
    parts += [_text(left + hour * size, below, f"{hour:02}", "middle", "soft") for hour in range(0, 25, 3)]
    legend = left + 9 * size
    for step in range(20):
        parts.append(
            f'<rect x="{legend + step * 10}" y="{below + 12}" width="10.5" height="10" fill="{_shade(step / 19)}"/>'
        )
    parts.append(_text(legend - 8, below + 21, "0%", "end", "soft"))
    parts.append(
        _text(
            legend + 208,
            below + 21,
            f"{most:.0%} of the time" if most >= 0.1 else f"{most:.1%} of the time",
            kind="soft",
        )
    )
    return _svg(left + 24 * size + 12, below + 30, title, parts)


def _shade(share: float) -> str:
    """A colour between pale and dark."""
    mixed = (round(pale + (dark - pale) * share) for pale, dark in zip(_PALE, _DARK, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def day_chart(minutes: Sequence[float | None], title: str) -> str:
    """A day: for each hour minutes of an hour, None where nothing was recorded."""
    wide, high, base = 9, 56, 62
    most = max((value for value in minutes if value is not None), default=0.0) or 1.0
    parts = [f'<line x1="0" y1="{base}" x2="{24 * wide}" y2="{base}" stroke="#bbb"/>']
    for hour, value in enumerate(minutes):
        if value is None:
            parts.append(f'<rect x="{hour * wide}" y="{base - 2}" width="{wide - 1}" height="2" fill="#ddd"/>')
        elif value:
            tall = max(1.0, high * value / most)
            parts.append(
                f'<rect x="{hour * wide}" y="{base - tall:.1f}" width="{wide - 1}" height="{tall:.1f}" fill="{BLUE}">'
                f"<title>{hour:02}:00, {value:.1f} min an hour</title></rect>"
            )
    for hour, anchor in ((0, "start"), (6, "middle"), (12, "middle"), (18, "middle"), (24, "end")):
        parts.append(_text(hour * wide, base + 13, f"{hour:02}", anchor, "soft"))
    return _svg(24 * wide, base + 16, title, parts)


def range_chart(ranges: Mapping[str, tuple[float, float, float]], title: str) -> str:
    """Levels: name -> those that a tenth, half and nine tenths of its time are at or below, dBFS."""
    row, left, width = 26, 150, 720
    low = min((values[0] for values in ranges.values()), default=-60.0) - 3
    high = max((values[2] for values in ranges.values()), default=0.0) + 3
    low, high = 10 * (low // 10), min(0.0, 10 * -(-high // 10))

    def place(level: float) -> float:
        return left + (width - left - 20) * (level - low) / max(high - low, 1.0)

    parts = []
    bottom = len(ranges) * row
    for level in range(int(low), int(high) + 1, 10):
        parts.append(f'<line x1="{place(level):.1f}" y1="0" x2="{place(level):.1f}" y2="{bottom}" stroke="#e4e4e4"/>')
        parts.append(_text(place(level), bottom + 14, f"{level}", "middle", "soft"))
    for number, (name, (tenth, half, nine)) in enumerate(ranges.items()):
        y = number * row + 13
        parts.append(_text(left - 10, y + 4, name, "end"))
        parts.append(
            f'<line x1="{place(tenth):.1f}" y1="{y}" x2="{place(nine):.1f}" y2="{y}" stroke="{BLUE}" stroke-width="7" '
            f'stroke-opacity="0.35" stroke-linecap="round"><title>{tenth:.0f} to {nine:.0f} dBFS</title></line>'
        )
        parts.append(
            f'<circle cx="{place(half):.1f}" cy="{y}" r="5" fill="{BLUE}"><title>{half:.0f} dBFS</title></circle>'
        )
    return _svg(width, bottom + 20, title, parts)
