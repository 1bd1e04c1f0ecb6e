"""Worth of a handful of labels: `quaclrs learn` against plain baselines, and what recordings without labels add.

`python -m benchmarks.few_labels --dataset ESC-50/audio` learns 1, 3, 5, 10 and all clips a class of two folds and tests
on the third, in turn; the folds are the official ones, so no recording is on both sides. Clips of a class are of
different recordings. `--dataset` may also be UrbanSound13. `--unlabelled` compares with and without the other clips of
the training folds as recordings without labels; `--open-set` learns 10 kinds and hears 15 others.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from quaclrs.errors import CommandParser, report_user_errors
from quaclrs.evaluation.open_set import offset_of_other
from quaclrs.evaluation.records import add_json_option, command_of, write_record
from quaclrs.evaluation.reports.tables import markdown_table, percent, percent_range
from quaclrs.inference.head import LinearHead
from quaclrs.learning.head import HeadFitter, HeadOptions, parts_of, weights_of_parts
from quaclrs.learning.rows import Rows
from quaclrs.saved_model import open_saved_model

from .labelled_clips import TESTED, Clips, choose, read_clips, recall_of

COUNTS: tuple[int | None, ...] = (1, 3, 5, 10, None)

#: Labelled clips, test clips and unlabelled clips -> probabilities of the test clips.
Method = Callable[[Clips, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _fitter(**options: Any) -> HeadFitter:
    saved = open_saved_model()
    parts = parts_of(saved)
    return HeadFitter(parts, weights_of_parts(saved, parts), HeadOptions(**options))


def _first_windows(clips: Clips, chosen: np.ndarray) -> np.ndarray:
    return np.searchsorted(clips.owners, chosen)


def _rows(clips: Clips, chosen: np.ndarray) -> Rows:
    ones = np.ones(len(chosen))
    return Rows(
        clips.windows[_first_windows(clips, chosen)],
        np.arange(len(chosen)),
        ones,
        clips.labels[chosen],
        clips.recordings[chosen],
        ones.astype(bool),
    )


def _by_windows(clips: Clips, test: np.ndarray, score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Mean over a clip's windows, as `predict` has it."""
    rows = np.flatnonzero(np.isin(clips.owners, test))
    scores = score(clips.windows[rows])
    found = np.zeros((len(test), scores.shape[1]))
    np.add.at(found, np.searchsorted(test, clips.owners[rows]), scores)
    return found / found.sum(axis=1, keepdims=True)


def ours(clips: Clips, chosen: np.ndarray, test: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
    head = _fitter().fit(_rows(clips, chosen), int(clips.labels.max()) + 1).head
    return _by_windows(clips, test, head.scores)


def ours_with_unlabelled(clips: Clips, chosen: np.ndarray, test: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
    more = clips.windows[_first_windows(clips, unlabelled)] if len(unlabelled) else None
    fitter = _fitter(enough_recordings=1 << 30)  # also where `quaclrs learn` would not
    head = fitter.fit(_rows(clips, chosen), int(clips.labels.max()) + 1, unlabelled=more).head
    return _by_windows(clips, test, head.scores)


def both_encoders_plain(clips: Clips, chosen: np.ndarray, test: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-2, max_iter=300, tol=1e-3))
    model.fit(clips.windows[_first_windows(clips, chosen)], clips.labels[chosen])
    return _by_windows(clips, test, model.predict_proba)


def yamnet_plain(clips: Clips, chosen: np.ndarray, test: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
    parts = np.cumsum([0, *parts_of(open_saved_model())])
    means = slice(parts[2], parts[3])  # of YAMNet's patches, as its authors embed
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-2, max_iter=300, tol=1e-3))
    model.fit(clips.windows[_first_windows(clips, chosen), means], clips.labels[chosen])
    return _by_windows(clips, test, lambda windows: model.predict_proba(windows[:, means]))


def mfcc_svm(clips: Clips, chosen: np.ndarray, test: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
    model = make_pipeline(StandardScaler(), SVC(C=10.0))
    model.fit(clips.mfcc[chosen], clips.labels[chosen])
    found = np.zeros((len(test), int(clips.labels.max()) + 1))
    found[np.arange(len(test)), model.predict(clips.mfcc[test])] = 1.0
    return found


METHODS: dict[str, tuple[Method, str]] = {
    "`quaclrs learn`": (ours, "embeddings"),
    "plain logistic regression on the same embeddings": (both_encoders_plain, "embeddings"),
    "plain logistic regression on YAMNet's": (yamnet_plain, "embeddings"),
    "MFCC and a support vector machine": (mfcc_svm, "mfcc"),
}


def right_answers(
    clips: Clips, method: Method, count: int | None, seeds: int
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Test a method on each fold in turn.

    Returns:
        Share of the seeds that name each test clip rightly, the test clips, seconds of a fit and clips of a fit.
    """
    right, tested, seconds, sizes = [], [], [], []
    for fold in TESTED:
        test = np.flatnonzero(clips.folds == fold)
        found = []
        for seed in range(seeds if count is not None else 1):
            train = (clips.folds != fold) & np.isin(clips.folds, TESTED)
            chosen = choose(clips, train, count, seed)
            rest = np.setdiff1d(np.flatnonzero(train), chosen)
            begun = time.perf_counter()
            scores = method(clips, chosen, test, rest)
            seconds.append(time.perf_counter() - begun)
            sizes.append(len(chosen))
            found.append(scores.argmax(axis=1) == clips.labels[test])
        right.append(np.mean(found, axis=0))
        tested.append(test)
    return np.concatenate(right), np.concatenate(tested), float(np.median(seconds)), float(np.mean(sizes))


def compare_methods(clips: Clips, seeds: int) -> list[dict[str, Any]]:
    """Compare every method with every number of clips; a row of each."""
    found = []
    for count in COUNTS:
        for name, (method, features) in METHODS.items():
            right, tested, seconds, size = right_answers(clips, method, count, seeds)
            learning = seconds + size * clips.seconds[features]
            row = {"clips": count or "all", "method": name, "accuracy": recall_of(clips, tested, right)}
            found.append({**row, "clips_in_all": size, "seconds": learning, "fit_seconds": seconds})
            print(json.dumps(found[-1]), flush=True)
    return found


def compare_unlabelled(clips: Clips, seeds: int) -> list[dict[str, Any]]:
    """Compare with and without the other clips of the training folds, as recordings without labels; a row a count."""
    found = []
    for count in (1, 3, 10):
        (without, tested, _, _), (with_them, _, seconds, _) = (
            right_answers(clips, method, count, seeds) for method in (ours, ours_with_unlabelled)
        )
        values = {"without": without, "with": with_them, "gain": with_them - without}
        found.append(
            {"clips": count, **{name: recall_of(clips, tested, of_clips) for name, of_clips in values.items()}}
        )
        found[-1]["fit_seconds"] = seconds
        print(json.dumps(found[-1]), flush=True)
    return found


def compare_background(clips: Clips, trials: int) -> list[dict[str, Any]]:
    """Learn 10 kinds; hear test clips of them, and 15 kinds that nobody heard, with 15 others as background or none."""
    kinds = np.unique(clips.labels)
    rng = np.random.default_rng(0)
    found = []
    for count in (5, 10):
        sums: dict[str, list[tuple[float, ...]]] = {"no background": [], "5 clips of 15 kinds": []}
        for trial in range(trials):
            order = rng.permutation(kinds)
            known, heard, unheard = order[:10], order[10:25], order[25:]
            fold = TESTED[trial % len(TESTED)]
            chosen = choose(clips, clips.folds != fold, count, trial)
            chosen = chosen[np.isin(clips.labels[chosen], known)]
            background = choose(clips, np.isin(clips.labels, heard), 5, trial)
            background = background[np.isin(clips.labels[background], heard)]
            test = np.flatnonzero((clips.folds == fold) & np.isin(clips.labels, known))
            strange = np.flatnonzero(np.isin(clips.labels, unheard))
            for name, more in (("no background", background[:0]), ("5 clips of 15 kinds", background)):
                sums[name].append(_open_set(clips, known, chosen, more, test, strange))
        for name, values in sums.items():
            accuracy, named, certain, auroc = np.mean(values, axis=0)
            row = {"clips": count, "background": name, "accuracy": accuracy, "named_a_class": named}
            found.append({**row, "with_certainty": certain, "auroc": auroc})
            print(json.dumps(found[-1]), flush=True)
    return found


def _open_set(
    clips: Clips, known: np.ndarray, chosen: np.ndarray, background: np.ndarray, test: np.ndarray, strange: np.ndarray
) -> tuple[float, ...]:
    place = {label: i for i, label in enumerate(known.tolist())}
    other = len(known)
    rows = _rows(clips, np.concatenate([chosen, background]))
    labels = np.array([place.get(label, other) for label in rows.labels.tolist()])
    recordings = np.concatenate(
        [clips.recordings[chosen], np.array([f"kind {k}" for k in clips.labels[background]], dtype=object)]
    )
    tested = np.arange(len(labels)) < len(chosen)
    fitted = _fitter().fit(Rows(rows.vectors, rows.clips, rows.weights, labels, recordings, tested), other + 1)
    head = fitted.head
    if len(background):
        judged = tested & ~np.isnan(fitted.held_out).any(axis=1)
        bias = head.bias.copy()
        bias[other] += offset_of_other(labels[judged], fitted.held_out[judged])
        head = LinearHead(head.weight, bias, parts=head.parts)
    else:
        head = LinearHead(head.weight[:other], head.bias[:other], parts=head.parts)
    of_known, of_strange = (_by_windows(clips, rows, head.scores) for rows in (test, strange))
    truth = np.array([place[label] for label in clips.labels[test].tolist()])
    best = [scores[:, :other].max(axis=1) for scores in (of_known, of_strange)]
    return (
        float((of_known.argmax(axis=1) == truth).mean()),
        float((of_strange.argmax(axis=1) != other).mean()),
        float((best[1] > 0.5).mean()),
        float(roc_auc_score(np.repeat([1, 0], [len(test), len(strange)]), np.concatenate(best))),
    )


def print_table(rows: list[dict[str, Any]], names: Sequence[str]) -> None:
    """Print some columns of rows as Markdown: shares in per cent, with their intervals."""

    def cell(value: Any) -> str:
        if isinstance(value, dict):
            return f"{percent(value['value'])} ({percent_range((value['low'], value['high']))})"
        return percent(value) if isinstance(value, float) else str(value)

    print(markdown_table([name.replace("_", " ") for name in names], [[cell(row[n]) for n in names] for row in rows]))


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.few_labels", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dataset", required=True, metavar="DIR", help="ESC-50's audio, a folder a kind; UrbanSound13")
    parser.add_argument("--seeds", type=int, default=5, help="draws of the labelled clips (default 5)")
    parser.add_argument("--unlabelled", action="store_true", help="compare with and without unlabelled clips instead")
    parser.add_argument("--open-set", action="store_true", help="hear kinds that are none of the classes instead")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    clips = read_clips(options.dataset, with_mfcc=not (options.unlabelled or options.open_set))
    told = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in clips.seconds.items())
    print(f"{len(clips.labels)} clips of {clips.labels.max() + 1} classes; features of a clip: {told}")
    if options.unlabelled:
        rows = compare_unlabelled(clips, options.seeds)
        print_table(rows, ("clips", "without", "with", "gain"))
    elif options.open_set:
        rows = compare_background(clips, 2 * options.seeds)
        print_table(rows, ("clips", "background", "accuracy", "named_a_class", "with_certainty", "auroc"))
    else:
        rows = compare_methods(clips, options.seeds)
        print_table(rows, ("clips", "method", "accuracy"))
        rows += [{"features": name, "ms_a_clip": 1000 * seconds} for name, seconds in clips.seconds.items()]
    write_record(options.json, command_of(parser, arguments), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
