"""One page about a run or a cross-validation, with every picture and the worst mistakes to listen to inside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ...errors import QuaclrsError
from ...files import name_unwritable
from ..figures.confusion_matrix import confusion_matrix_figure
from ..figures.letters import all_letters
from ..figures.scores import (
    per_class_figure,
    precision_recall_figure,
    reliability_figure,
    roc_figure,
)
from ..figures.training_curves import training_curves_figure
from ..result_files import write_text
from .page_data import Mistake, ReportData
from .tables import markdown_table

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: 0.25rem 0.8rem; border-bottom: 1px solid #ddd; }
th { text-align: left; } td + td { text-align: right; } table.text td { text-align: left; }
img { max-width: 100%; height: auto; } figure { margin: 1.5rem 0; } figcaption { color: #555; }
code { background: #f3f3f3; padding: 0.5rem; display: block; overflow-x: auto; white-space: pre-wrap; }
.warning { background: #fff4d6; padding: 0.5rem 1rem; border-left: 4px solid #e69f00; }
audio { height: 2rem; max-width: 14rem; }
"""


def draw_figures(data: ReportData) -> dict[str, Figure]:
    """Caption -> figure, of what the folder's numbers say."""
    found, names = data.predictions, data.predictions.class_names
    figures = {"Confusion matrix": confusion_matrix_figure(data.confusion_matrix, names, data.title)}
    if data.history:
        figures["Training"] = training_curves_figure(data.history, data.title)
    figures["Every class"] = per_class_figure(data.per_class, data.title)
    figures["ROC curves"] = roc_figure(found.labels, found.probabilities, names, data.title)
    figures["Precision and recall"] = precision_recall_figure(found.labels, found.probabilities, names, data.title)
    figures["Can scores be taken at their word?"] = reliability_figure(found.labels, found.probabilities, data.title)
    return figures


def write_report(data: ReportData, folder: Path, sounds: Mapping[str, bytes]) -> tuple[Path, Path]:
    """Write `report.html`, which needs no other file, and `report.md` beside it with its pictures in `report_plots/`.

    Args:
        data: what is reported.
        folder: where to; made where it does not exist.
        sounds: clip_id -> encoded audio of the mistakes; those that are absent have no player.

    Returns:
        The two files.
    """
    with name_unwritable(folder):
        return _write_files(data, folder, sounds)


def _write_files(data: ReportData, folder: Path, sounds: Mapping[str, bytes]) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {caption: _png(figure) for caption, figure in draw_figures(data).items()}
    pictures |= {file.stem.replace("_", " "): file.read_bytes() for file in data.plots}
    mistakes = data.worst_mistakes()
    page, text = folder / "report.html", folder / "report.md"
    write_text(page, _html(data, pictures, mistakes, sounds))
    (folder / "report_plots").mkdir(exist_ok=True)
    names = {caption: f"report_plots/{_file_name(caption)}.png" for caption in pictures}
    for caption, content in pictures.items():
        (folder / names[caption]).write_bytes(content)
    write_text(text, _markdown(data, names, mistakes))
    return page, text


def sounds_of(dataset: str, clip_ids: Sequence[str]) -> dict[str, bytes]:
    """Encoded audio of clips, as the data set stores it; none where it cannot be loaded here."""
    from ...data import load_urbansound13

    try:
        rows = load_urbansound13(dataset)
    except QuaclrsError:
        return {}
    place = {clip_id: row for row, clip_id in enumerate(rows["clip_id"][:])}
    return {clip: rows[place[clip]]["audio"]["bytes"] for clip in clip_ids if clip in place}


def _html(
    data: ReportData, pictures: Mapping[str, bytes], mistakes: Sequence[Mistake], sounds: Mapping[str, bytes]
) -> str:
    def cells(row: Sequence[Any], tag: str = "td") -> str:
        return "".join(f"<{tag}>{entry}</{tag}>" for entry in row)

    def table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), kind: str = "") -> str:
        head = f"<tr>{cells(header, 'th')}</tr>" if header else ""
        return f"<table class='{kind}'>{head}{''.join(f'<tr>{cells(row)}</tr>' for row in rows)}</table>"

    e = html.escape
    parts = [f"<h1>{e(data.title)}</h1>"]
    parts += [f"<p class='warning'>{e(warning)}</p>" for warning in data.warnings]
    parts.append(table([(e(name), e(text)) for name, text in data.facts.items()], kind="text"))
    parts.append("<h2>Figures</h2>")
    parts.append(table([(e(name), e(value)) for name, value in data.figures.items()]))
    parts.append("<h2>Controls</h2><p>What is reached without listening, or with less: accuracy.</p>")
    parts.append(table([(e(name), e(value)) for name, value in data.controls.items()]))
    for caption, content in pictures.items():
        image = f"<img alt='{e(caption)}' src='data:image/png;base64,{base64.b64encode(content).decode()}'>"
        parts.append(f"<h2>{e(caption)}</h2><figure>{image}</figure>")
    parts.append("<h2>Surest mistakes</h2>")
    rows = [
        (e(_words(m.label)), e(_words(m.predicted)), f"{m.score:.0%}", _player(sounds.get(m.clip_id)), e(m.clip_id))
        for m in mistakes
    ]
    parts.append(table(rows, ("is", "was taken for", "score", "sound", "clip"), "text") if rows else "<p>None.</p>")
    parts.append(f"<h2>Do it again</h2><code>{e(data.command)}</code>")
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{e(data.title)}</title>"
    body = "\n".join(parts)
    return (
        f"<!doctype html>\n<html lang='en'><head>{head}<style>{_STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _markdown(data: ReportData, pictures: Mapping[str, str], mistakes: Sequence[Mistake]) -> str:
    lines = [f"# {data.title}", "", *(f"> **Warning.** {warning}\n" for warning in data.warnings)]
    lines += [f"- {name}: {text}" for name, text in data.facts.items()]
    for heading, entries in (("Figures", data.figures), ("Controls (accuracy)", data.controls)):
        lines += ["", f"## {heading}", "", markdown_table(("", ""), entries.items())]
    for caption, file in pictures.items():
        lines += ["", f"## {caption}", "", f"![{caption}]({file})"]
    rows = [(_words(m.label), _words(m.predicted), f"{m.score:.0%}", m.clip_id) for m in mistakes]
    table = markdown_table(("is", "was taken for", "score", "clip"), rows, align="llrl")
    lines += ["", "## Surest mistakes", "", table]
    lines += ["", "## Do it again", "", "```", data.command, "```"]
    return "\n".join(lines) + "\n"


def _player(sound: bytes | None) -> str:
    if sound is None:
        return "–"
    kind = "flac" if sound[:4] == b"fLaC" else "ogg" if sound[:4] == b"OggS" else "wav"
    return f"<audio controls preload='none' src='data:audio/{kind};base64,{base64.b64encode(sound).decode()}'></audio>"


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    with all_letters(figure):
        figure.savefig(content, format="png", dpi=110, bbox_inches="tight")
    return content.getvalue()


def _file_name(caption: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in caption.lower()).split())


def _words(label: str) -> str:
    return label.replace("_", " ")
