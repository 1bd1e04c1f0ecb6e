"""A summary of cross-validation in words: its headline and its Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quaclrs.labels import SIRENNET, URBANSOUND8K

from .tables import counted, markdown_table, percent, percent_range

#: Columns in which the model is compared with its controls.
_COMPARED = ("accuracy", "balanced_accuracy")


def describe_folds(protocol: str, folds: Sequence[int], complete_folds: Sequence[int], all_folds: Sequence[int]) -> str:
    """Protocol and tested folds as one sentence without its full stop; says why where folds are missing."""
    if set(folds) == set(all_folds):
        return f"Protocol {protocol}, all {len(all_folds)} folds"
    untested = sorted(set(complete_folds) - set(folds))
    others = set(all_folds) - set(folds) - set(untested)
    reasons = []
    if untested:
        reasons.append(f"{_listed('fold', untested)} {'was' if len(untested) == 1 else 'were'} not tested")
    if others:
        reasons.append("the other folds lack clips")
    return (
        f"Protocol {protocol}, {_listed('fold', folds)} of {len(all_folds)} only: {' and '.join(reasons)}, "
        f"so this is not a {len(all_folds)}-fold figure"
    )


def classes_of(source: str, classes: int) -> str:
    """Name of a source's classes: `9 UrbanSound8K classes`, `4 new classes`."""
    name = {URBANSOUND8K: "UrbanSound8K", SIRENNET: "new"}.get(source, source)
    return f"{classes} {name} class{'' if classes == 1 else 'es'}"


def interval_name(summary: Mapping[str, Any]) -> str:
    """`95 % interval`."""
    return f"{100 * summary['confidence']:g} % interval"


def headline(summary: Mapping[str, Any]) -> str:
    """One line: protocol, folds, accuracy over folds and by source, and the interval over recordings."""
    accuracy = summary["figures"]["accuracy"]
    parts = [f"Accuracy {_mean_and_deviation(accuracy)} %{' over folds' if accuracy['folds'] > 1 else ''}"]
    parts += [
        f"{classes_of(source, classes)} {_percent(summary['figures'][f'accuracy_{source}']['mean'])} %"
        for source, classes in summary["classes_of_source"].items()
    ]
    return (
        f"{summary['scope']}. {', '.join(parts)}; pooled {_percent(accuracy['pooled'])} %, "
        f"{interval_name(summary)} over recordings {percent_range(accuracy['interval'])} %"
    )


def summary_markdown(summary: Mapping[str, Any], title: str, command: str) -> str:
    """The tables of `summarise` as Markdown, all shares in per cent.

    Args:
        summary: what `summarise` returns, or read back from JSON.
        title: what was cross-validated, one line.
        command: what repeats it.

    Returns:
        Text whose first line names the protocol and the folds.
    """
    several = len(summary["seeds"]) > 1
    blocks = [
        f"# {summary['scope']}",
        title,
        "\n".join(f"> **Warning:** {warning}" for warning in summary["warnings"]),
        f"{summary['clips']:,} test clips of {summary['recordings']:,} recordings, "
        f"{summary['classes_with_support']} of {len(summary['class_names'])} classes with test clips, "
        f"{_listed('seed', summary['seeds'])}. All figures in per cent; mean ± sample standard deviation is over folds"
        f"{', the seeds of a fold averaged first' if several else ''}.",
        "## Model and controls",
        _compared_with_controls(summary),
        "## Figures",
        _figures(summary, several),
        f"The {interval_name(summary)} is that of the pooled figure, of all test clips together, by bootstrap over "
        f"their recordings ({summary['replicates']:,} replicates, stratified by class)"
        f"{'; pooled figures are means over the seeds' if several else ''}.",
        _over_recordings(summary),
        "## Sounds that are none of the classes" if summary.get("open_set") else "",
        open_set_table(summary["open_set"]) if summary.get("open_set") else "",
        "## Folds",
        _folds(summary),
        "## Classes",
        _classes(summary),
        f"Of all test clips together{', means over the seeds' if several else ''}. An interval of a class with few "
        "recordings is too narrow.",
        "## Command",
        f"```\n{command}\n```",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _over_recordings(summary: Mapping[str, Any]) -> str:
    """One sentence on accuracy in which every recording counts once."""
    found = dict(summary["over_recordings"])
    whole = found.pop("all")
    parts = [
        f"{classes_of(source, summary['classes_of_source'][source])} {_percent(entry['value'])} "
        f"({percent_range(entry['interval'])})"
        for source, entry in found.items()
    ]
    return (
        f"Where every recording counts once, however many clips it has: accuracy {_percent(whole['value'])} "
        f"({percent_range(whole['interval'])}); {', '.join(parts)}."
    )


def open_set_table(figures: Mapping[str, Any]) -> str:
    """The figures of `open_set_figures` as a table, with intervals where there are any."""
    names = {
        "accuracy": "accuracy on the classes, `other` not allowed",
        "accuracy_with_other": "accuracy on the classes, `other` allowed",
        "kept": "of what was right, stays right",
        "false_alarms": "background named one of the classes",
        "false_certain": "background named one with a score above 0.5",
        "auroc": "AUROC of the best score, classes against background",
        "auroc_other": "AUROC of the score of `other`",
    }
    intervals = figures.get("intervals", {})
    rows = [[text, percent(figures[name]), percent_range(intervals.get(name))] for name, text in names.items()]
    rows += [
        [
            f"recall at {counted(int(count), 'false alarm')} an hour (score {entry['threshold']:.2f})",
            percent(entry["recall"]),
            "–",
        ]
        for count, entry in figures["at_alarms_per_hour"].items()
        if entry["threshold"] is not None
    ]
    worst = sorted(figures["per_kind"].items(), key=lambda entry: -entry[1])[:5]
    return (
        f"{figures['background_clips']:,} clips of {figures['kinds']} kinds of background, each kind by networks that "
        f"had not heard any of it; {figures['clips']:,} clips of the classes.\n\n"
        f"{markdown_table(['figure', 'value', 'interval'], rows)}\n\n"
        f"Most often taken for a class: {', '.join(f'{kind} ({percent(share)})' for kind, share in worst)}."
    )


def _compared_with_controls(summary: Mapping[str, Any]) -> str:
    sources = summary["classes_of_source"]
    columns = {name: name.replace("_", " ") for name in _COMPARED}
    columns |= {f"accuracy_{source}": classes_of(source, classes) for source, classes in sources.items()}
    rows = [
        [name, *(_mean_and_deviation(figures.get(column)) for column in columns)]
        for name, figures in {"model": summary["figures"], **summary["controls"]}.items()
    ]
    return markdown_table(["", *columns.values()], rows)


def _figures(summary: Mapping[str, Any], several_seeds: bool) -> str:
    rows = []
    for name, figure in summary["figures"].items():
        if figure["mean"] is None:
            continue
        row = [
            _figure_title(name, summary["classes_of_source"]),
            _mean_and_deviation(figure),
            percent_range(figure["range"]),
        ]
        row += [_percent(figure["seed_std"])] if several_seeds else []
        rows.append([*row, _percent(figure["pooled"]), percent_range(figure["interval"])])
    seed_column = ["deviation over seeds"] if several_seeds else []
    return markdown_table(["figure", "mean ± deviation", "range", *seed_column, "pooled", interval_name(summary)], rows)


def _folds(summary: Mapping[str, Any]) -> str:
    columns = {"accuracy": "accuracy"}
    columns |= {f"accuracy_{s}": classes_of(s, classes) for s, classes in summary["classes_of_source"].items()}
    columns |= {"balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1", "macro_roc_auc": "macro ROC AUC"}
    rows = [
        [str(fold["fold"]), f"{fold['clips']:,}", *(_percent(fold[column]) for column in columns)]
        for fold in summary["per_fold"]
    ]
    return markdown_table(["test fold", "clips", *columns.values()], rows)


def _classes(summary: Mapping[str, Any]) -> str:
    rows = [
        [
            name.replace("_", " "),
            f"{of_class['support']:,}",
            f"{of_class['recordings']:,}",
            *(_percent(of_class[figure]) if of_class["support"] else "–" for figure in ("precision", "recall")),
            percent_range(of_class["recall_interval"]),
            *(_percent(of_class[figure]) if of_class["support"] else "–" for figure in ("f1", "roc_auc")),
        ]
        for name, of_class in summary["per_class"].items()
    ]
    interval = f"recall, {interval_name(summary)}"
    return markdown_table(["class", "clips", "recordings", "precision", "recall", interval, "F1", "ROC AUC"], rows)


def _figure_title(name: str, classes_of_source: Mapping[str, int]) -> str:
    for source, classes in classes_of_source.items():
        if name.endswith(f"_{source}"):
            return f"{_figure_title(name.removesuffix(f'_{source}'), {})}, {classes_of(source, classes)}"
    return name.replace("_", " ").replace("f1", "F1").replace("roc auc", "ROC AUC")


def _listed(noun: str, numbers: Sequence[int]) -> str:
    return f"{noun}{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def _mean_and_deviation(figure: Mapping[str, Any] | None) -> str:
    return "–" if figure is None else percent(figure["mean"], figure["std"], unit="")


def _percent(share: float | None) -> str:
    return percent(share, unit="")
