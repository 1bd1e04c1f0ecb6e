"""Markdown tables and percentages, the same in every report, card and message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[str], rows: Iterable[Iterable[object]], align: str | None = None) -> str:
    """A Markdown table whose columns line up on a terminal too.

    Args:
        header: a name a column.
        rows: cells, one a column, written by `str`.
        align: `l` or `r` a column; without it the first stands to the left and the others, numbers, to the right.

    Returns:
        Lines without a line end after the last.
    """
    lines = [list(header), *([str(cell) for cell in row] for row in rows)]
    sides = [">" if side == "r" else "<" for side in align or "l" + "r" * (len(header) - 1)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]  # a rule has three dashes at least
    lines.insert(1, ["-" * (w - 1) + ("-" if side == "<" else ":") for side, w in zip(sides, widths, strict=True)])
    line = " | ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    return "\n".join(f"| {line} |".format(*cells) for cells in lines)


def percent(share: float | None, deviation: float | None = None, unit: str = "%") -> str:
    """A share in [0, 1] in per cent: `62.1%`, `62.1 ± 3.0%` with a deviation, a dash where it is undefined."""
    if share is None:
        return "–"
    spread = "" if deviation is None else f" ± {100 * deviation:.1f}"
    return f"{100 * share:.1f}{spread}{unit}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what is counted: `1 clip`, `1,204 clips`; `plural` where an `s` does not make it."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def seconds(value: float) -> str:
    """Seconds to a tenth: `612 s`, `5.2 s`."""
    return f"{value:.1f}".removesuffix(".0") + " s"


def heard_seconds(heard: float, duration: float) -> str:
    """Seconds of a sound that an answer is of, and of those of how many: `heard 612 s`, `heard 8 of 24 s`."""
    part = seconds(heard)
    return f"heard {part}" if part == seconds(duration) else f"heard {part[:-2]} of {seconds(duration)}"


def percent_range(bounds: Sequence[float] | None) -> str:
    """Bounds in [0, 1] in per cent, `58.5 to 70.9`; a dash where they are undefined."""
    return "–" if bounds is None else f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"
