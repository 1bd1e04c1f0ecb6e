"""Cross-validation summed up: figures over folds and seeds, with what they must not be read without.

A figure's standard deviation is over folds, as the paper's tables give it (section 4.6); beside it stands the interval
by bootstrap over the recordings of all test clips. The first line names the protocol and the folds that were tested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quaclrs.errors import QuaclrsError
from quaclrs.folds import PAPER_PROTOCOL_WARNING, PROTOCOLS

from .bootstrap import bootstrap_intervals
from .fold_results import FoldResult, aligned
from .metrics import STANDARD_SOURCES, classification_metrics
from .over_recordings import accuracy_over_recordings
from .reports.cross_validation import describe_folds, headline, summary_markdown

__all__ = ["FoldResult", "summarise", "summary_markdown"]

_CONFIDENCE = 0.95

_FIGURES_OF_CLASS = ("precision", "recall", "f1", "roc_auc")


def summarise(
    results: Iterable[FoldResult],
    class_names: Sequence[str],
    protocol: str,
    complete_folds: Sequence[int],
    all_folds: Sequence[int] = tuple(range(1, 11)),
    warnings: Sequence[str] = (),
    replicates: int = 2000,
) -> dict[str, Any]:
    """Sum up the runs of a cross-validation.

    Args:
        results: one a fold and seed, in any order; every fold with the same seeds.
        class_names: the classes' names in the order of the columns.
        protocol: `strict` or `paper`; the latter adds its warning.
        complete_folds: folds that could be tested, as `FoldPlan` gives them.
        all_folds: folds that a full cross-validation tests.
        warnings: sentences that belong to the figures; each is kept once.
        replicates: of the bootstrap.

    Returns:
        Ready for `json.dump`; shares in [0, 1], None where undefined:

        - `scope`: protocol and folds as one sentence; `headline`: one line that begins with it
        - `protocol`, `folds`, `complete_folds`, `all_folds`, `seeds`, `warnings`, `class_names`
        - `clips`, `recordings`, `classes_with_support`, `classes_of_source`: counts over all tested folds
        - `figures`: name -> `mean`, `std`, `range` over folds, the seeds of a fold averaged first (`std` with n - 1,
          None of a single fold) and `folds` averaged; `seed_std`, over seeds, of the mean over folds (None of a single
          seed); `pooled`, of all test clips, the seeds averaged, and its `interval`, at `confidence`, over recordings
          (see `bootstrap_intervals`). Names are those of `classification_metrics`
        - `runs`: the figures of every `fold` and `seed`; `per_fold`: those of every fold, the seeds averaged
        - `per_class`: name -> `precision`, `recall`, `f1`, `roc_auc` and `recall_interval` of all test clips, the seeds
          averaged, `support` in clips and `recordings`
        - `confusion_matrix`: of all test clips, counts summed over the seeds: every clip counts once a seed
        - `over_recordings`: accuracy in which every recording counts once (see `accuracy_over_recordings`)
        - `controls`: row name -> figure -> `mean`, `std`, `range`, `folds`, `seed_std`, as of the model

    Raises:
        QuaclrsError: no results, a fold and seed twice, folds with other seeds or other clips in one seed than in
            another, a clip in two folds or twice in one, folds that are not complete, an unknown protocol, or shapes
            that do not fit each other.
    """
    if protocol not in PROTOCOLS:
        raise QuaclrsError(f"unknown protocol {protocol!r}; choose {' or '.join(PROTOCOLS)}")
    runs = aligned(results)
    folds, seeds = (tuple(sorted(set(numbers))) for numbers in zip(*runs, strict=True))
    complete, every = (sorted({int(fold) for fold in numbers}) for numbers in (complete_folds, all_folds))
    for name, known in (("complete_folds", complete), ("all_folds", every)):
        if unknown := sorted(set(folds) - set(known)):
            raise QuaclrsError(f"fold {unknown[0]} was tested but is not one of {name}: {known}")
    of_run = {
        key: classification_metrics(run.labels, run.probabilities, class_names, run.sources)
        for key, run in runs.items()
    }
    pool = _pool(runs, folds, seeds)
    of_pool = [
        classification_metrics(pool.labels, probabilities, class_names, pool.sources)
        for probabilities in pool.probabilities
    ]
    intervals = bootstrap_intervals(
        pool.labels, pool.probabilities, pool.recordings, class_names, pool.sources, replicates, confidence=_CONFIDENCE
    )
    summary: dict[str, Any] = {
        "scope": describe_folds(protocol, folds, complete, every),
        "protocol": protocol,
        "folds": list(folds),
        "complete_folds": complete,
        "all_folds": every,
        "seeds": list(seeds),
        "clips": len(pool.labels),
        "recordings": len(set(pool.recordings)),
        "classes_with_support": len(set(pool.labels.tolist())),
        "classes_of_source": _classes_of_source(pool.sources, pool.labels.tolist()),
        "class_names": list(class_names),
        "warnings": list(dict.fromkeys([*([PAPER_PROTOCOL_WARNING] if protocol == "paper" else []), *warnings])),
        "confidence": _CONFIDENCE,
        "replicates": replicates,
        **_figures(of_run, of_pool, intervals),
        "per_class": _per_class(pool, of_pool, intervals["per_class"]),
        "confusion_matrix": np.sum([metrics["confusion_matrix"] for metrics in of_pool], axis=0).tolist(),
        "controls": _controls_over_folds(runs),
        "over_recordings": accuracy_over_recordings(
            pool.labels,
            np.mean(pool.probabilities.argmax(axis=2) == pool.labels, axis=0),
            pool.recordings,
            pool.sources,
            replicates,
            _CONFIDENCE,
        ),
    }
    return {"headline": headline(summary), **summary}


@dataclass(frozen=True)
class _Pool:
    """All test clips together, in the order of the folds: `probabilities` is (seeds, clips, classes)."""

    labels: np.ndarray
    recordings: list[str]
    sources: list[str]
    probabilities: np.ndarray


def _pool(runs: Mapping[tuple[int, int], FoldResult], folds: Sequence[int], seeds: Sequence[int]) -> _Pool:
    first = [runs[fold, seeds[0]] for fold in folds]
    return _Pool(
        np.concatenate([run.labels for run in first]),
        [recording for run in first for recording in run.recording_ids],
        [source for run in first for source in run.sources],
        np.stack([np.concatenate([runs[fold, seed].probabilities for fold in folds]) for seed in seeds]),
    )


def _figures(
    of_run: Mapping[tuple[int, int], Mapping[str, Any]],
    of_pool: Sequence[Mapping[str, Any]],
    intervals: Mapping[str, Any],
) -> dict[str, Any]:
    """`figures`, `runs` and `per_fold`: over folds and of all test clips, of every run, of every fold."""
    folds, seeds = (sorted(set(numbers)) for numbers in zip(*of_run, strict=True))
    names = [name for name in intervals if name != "per_class"]
    return {
        "figures": {
            name: {
                **_over_folds({key: metrics.get(name) for key, metrics in of_run.items()}),
                "pooled": _mean(metrics[name] for metrics in of_pool),
                "interval": _as_list(intervals[name]),
            }
            for name in names
        },
        "runs": [
            {"fold": fold, "seed": seed, **_counts(metrics), **{name: metrics.get(name) for name in names}}
            for (fold, seed), metrics in sorted(of_run.items())
        ],
        "per_fold": [
            {
                "fold": fold,
                **_counts(of_run[fold, seeds[0]]),
                **{name: _mean(of_run[fold, seed].get(name) for seed in seeds) for name in names},
            }
            for fold in folds
        ],
    }


def _per_class(
    pool: _Pool, of_pool: Sequence[Mapping[str, Any]], intervals: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    recordings = np.array(pool.recordings)
    return {
        name: {
            **{key: _mean(metrics["per_class"][name][key] for metrics in of_pool) for key in _FIGURES_OF_CLASS},
            "recall_interval": _as_list(interval["recall"]),
            "support": int(np.sum(pool.labels == index)),
            "recordings": len(set(recordings[pool.labels == index].tolist())),
        }
        for index, (name, interval) in enumerate(intervals.items())
    }


def _over_folds(values: Mapping[tuple[int, int], float | None]) -> dict[str, Any]:
    """Mean, deviation and range over folds of a figure by (fold, seed); folds that do not have it are left out."""
    of_folds, of_seeds = (
        [_mean(value for key, value in values.items() if key[place] == number) for number in {k[place] for k in values}]
        for place in (0, 1)
    )
    known = [value for value in of_folds if value is not None]
    return {
        "mean": _mean(known),
        "std": _sample_deviation(of_folds),
        "range": [min(known), max(known)] if known else None,
        "folds": len(known),
        "seed_std": _sample_deviation(of_seeds),
    }


def _controls_over_folds(runs: Mapping[tuple[int, int], FoldResult]) -> dict[str, dict[str, dict[str, Any]]]:
    figures_of_row: dict[str, dict[str, None]] = {}  # dicts keep the order in which rows and figures were given
    for run in runs.values():
        for row, figures in run.controls.items():
            figures_of_row.setdefault(row, {}).update(dict.fromkeys(figures))
    return {
        row: {
            name: _over_folds({key: run.controls.get(row, {}).get(name) for key, run in runs.items()})
            for name in figures
        }
        for row, figures in figures_of_row.items()
    }


def _classes_of_source(sources: Sequence[str], labels: Sequence[int]) -> dict[str, int]:
    classes = Counter(source for source, _ in set(zip(sources, labels, strict=True)))
    order = [*STANDARD_SOURCES, *sorted(classes.keys() - set(STANDARD_SOURCES))]
    return {source: classes[source] for source in order if source in classes}


def _counts(metrics: Mapping[str, Any]) -> dict[str, int]:
    return {name: metrics[name] for name in ("clips", "classes_with_support")}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _sample_deviation(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.std(known, ddof=1)) if len(known) > 1 else None


def _as_list(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)
