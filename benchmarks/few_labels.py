"""Worth of a handful of labels: `quaclrs learn` against plain baselines, and what recordings without labels add.

`python -m benchmarks.few_labels --dataset ../shared/data/ESC-50/audio` learns 1, 3, 5, 10 and all clips a class of two
folds and tests on the third, in turn; the folds are the official ones, so no recording is on both sides. Clips a class
are of different recordings. `--dataset` may also be UrbanSound13. `--unlabelled` compares with and without the other
clips of the training folds as recordings without labels; `--open-set` learns 10 kinds and hears 15 others.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm import tqdm

from quaclrs.audio import find_audio_files, load_audio
from quaclrs.data import load_urbansound13
from quaclrs.evaluation.bootstrap import cluster_clips, draw_recordings
from quaclrs.evaluation.open_set import offset_of_other
from quaclrs.evaluation.reports.tables import markdown_table
from quaclrs.inference.head import LinearHead
from quaclrs.inference.loading import load_classifier
from quaclrs.inference.windows import windows_of
from quaclrs.learning.head import HeadFitter, HeadOptions, parts_of, weights_of_parts
from quaclrs.learning.rows import Rows
from quaclrs.saved_model import open_saved_model

COUNTS: tuple[int | None, ...] = (1, 3, 5, 10, None)
TESTED = (1, 2, 3)


@dataclass(frozen=True)
class Clips:
    """Clips with their features; windows are those that `predict` hears.

    Attributes:
        labels, folds, recordings: (clips,).
        windows: (windows, hidden_size) embeddings, and `owners` the clip of each.
        mfcc: (clips, 80) means and deviations of 40 coefficients.
        seconds: features -> seconds a clip that they took.
    """

    labels: np.ndarray
    folds: np.ndarray
    recordings: np.ndarray
    windows: np.ndarray
    owners: np.ndarray
    mfcc: np.ndarray
    seconds: dict[str, float]


def sounds_of(dataset: str) -> Iterable[tuple[Any, str, int, str]]:
    """Sound, label, fold and recording of each clip of ESC-50 (a folder a kind) or of UrbanSound13."""
    files = find_audio_files(dataset) if not (Path(dataset) / "data").is_dir() else []
    for file in files:
        fold, recording, *_ = file.stem.split("-")
        yield str(file), file.parent.name, int(fold), f"{fold}-{recording}"
    if not files:
        rows = load_urbansound13(dataset)
        names = rows.features["label"].names
        columns = [rows[name][:] for name in ("label", "fold", "recording_id")]
        for place, (label, fold, recording) in enumerate(zip(*columns, strict=True)):
            if fold in TESTED:
                yield rows[place]["audio"]["bytes"], names[label], fold, recording


def read_clips(dataset: str, with_mfcc: bool) -> Clips:
    """Embed every clip, and describe it by MFCCs."""
    import librosa

    classifier = load_classifier()
    found = list(sounds_of(dataset))
    windows, owners, mfcc = [], [], []
    spent = {"embeddings": 0.0, "mfcc": 0.0}
    for clip, (sound, *_) in enumerate(tqdm(found, desc="features", disable=None)):
        begun = time.perf_counter()
        cut = list(windows_of(sound, classifier.log_mel_config))
        waveforms = np.stack([classifier.log_mel_config.fit(window.waveform) for window in cut])
        windows.append(classifier.embed_waveforms(waveforms))
        owners += [clip] * len(cut)
        spent["embeddings"] += time.perf_counter() - begun
        if with_mfcc:
            begun = time.perf_counter()
            values = librosa.feature.mfcc(y=load_audio(sound, 22_050), sr=22_050, n_mfcc=40)
            mfcc.append(np.concatenate([values.mean(axis=1), values.std(axis=1)]))
            spent["mfcc"] += time.perf_counter() - begun
    names = [label for _, label, _, _ in found]
    return Clips(
        np.unique(names, return_inverse=True)[1],
        np.array([fold for *_, fold, _ in found]),
        np.array([recording for *_, recording in found], dtype=object),
        np.concatenate(windows),
        np.array(owners),
        np.array(mfcc),
        {name: seconds / len(found) for name, seconds in spent.items()},
    )


def choose(clips: Clips, train: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """So many clips of every class, of different recordings as far as there are so many."""
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for label in np.unique(clips.labels):
        order = rng.permutation(np.flatnonzero(train & (clips.labels == label)))
        taken: dict[str, int] = {}
        ranked = []
        for clip in order.tolist():
            taken[clips.recordings[clip]] = taken.get(clips.recordings[clip], -1) + 1
            ranked.append((taken[clips.recordings[clip]], clip))
        chosen += [clip for _, clip in sorted(ranked, key=lambda entry: entry[0])[:count]]
    return np.sort(chosen)


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
    "quaclrs learn": (ours, "embeddings"),
    "both encoders, plain logistic regression": (both_encoders_plain, "embeddings"),
    "YAMNet, plain logistic regression": (yamnet_plain, "embeddings"),
    "MFCC, SVM": (mfcc_svm, "mfcc"),
}


def right_answers(
    clips: Clips, method: Method, count: int | None, seeds: int
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Share of the seeds with which each test clip is named rightly; the clips; seconds of a fit; clips of a fit."""
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


def interval(clips: Clips, tested: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """Mean recall of the classes, and its 95 % interval by bootstrap over recordings."""
    labels = clips.labels[tested]
    cluster, of_cluster = cluster_clips(labels, [str(name) for name in clips.recordings[tested]])
    drawn = draw_recordings(of_cluster, 2000, seed=0)
    sums, sizes = (np.bincount(cluster, weights, len(of_cluster)) for weights in (values, None))
    recalls, points = [], []
    for label in np.unique(labels):
        own = of_cluster == label
        recalls.append(sums[own] @ drawn[own] / (sizes[own] @ drawn[own]))
        points.append(values[labels == label].mean())
    low, high = np.quantile(np.mean(recalls, axis=0), (0.025, 0.975))
    return float(np.mean(points)), float(low), float(high)


def compare_methods(clips: Clips, seeds: int) -> list[dict[str, Any]]:
    """Every method with every number of clips."""
    found = []
    for count in COUNTS:
        for name, (method, features) in METHODS.items():
            right, tested, seconds, size = right_answers(clips, method, count, seeds)
            value, low, high = interval(clips, tested, right)
            learning = seconds + size * clips.seconds[features]
            entry = {"clips a class": count or "all", "method": name, "accuracy": value, "low": low, "high": high}
            found.append({**entry, "clips": size, "seconds": learning, "fit": seconds})
            print(json.dumps(found[-1]), flush=True)
    return found


def compare_unlabelled(clips: Clips, seeds: int) -> list[dict[str, Any]]:
    """With and without the other clips of the training folds, as recordings without labels."""
    found = []
    for count in (1, 3, 10):
        (without, tested, _, _), (with_them, _, seconds, _) = (
            right_answers(clips, method, count, seeds) for method in (ours, ours_with_unlabelled)
        )
        entry: dict[str, Any] = {"clips a class": count, "seconds": seconds}
        for name, values in (("without", without), ("with", with_them), ("gain", with_them - without)):
            entry[name] = interval(clips, tested, values)
        found.append(entry)
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
            entry = {"clips a class": count, "background": name, "accuracy": accuracy, "named a class": named}
            found.append({**entry, "with certainty": certain, "auroc": auroc})
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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.few_labels", description=__doc__)
    parser.add_argument("--dataset", required=True, metavar="DIR", help="ESC-50's audio, a folder a kind; UrbanSound13")
    parser.add_argument("--seeds", type=int, default=5, help="draws of the labelled clips (default 5)")
    parser.add_argument("--unlabelled", action="store_true", help="compare with and without unlabelled clips instead")
    parser.add_argument("--open-set", action="store_true", help="hear kinds that are none of the classes instead")
    options = parser.parse_args(arguments)
    plain = not (options.unlabelled or options.open_set)
    clips = read_clips(options.dataset, plain)
    told = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in clips.seconds.items())
    print(f"{len(clips.labels)} clips of {clips.labels.max() + 1} classes; features of a clip: {told}")
    if options.unlabelled:
        rows = [
            (e["clips a class"], *(f"{100 * v:.1f} ({100 * a:.1f} to {100 * b:.1f})" for v, a, b in (
                e["without"], e["with"], e["gain"])))
            for e in compare_unlabelled(clips, options.seeds)
        ]  # fmt: skip
        print(markdown_table(("clips a class", "labelled alone", "with the others unlabelled", "gain"), rows))
    elif options.open_set:
        found = compare_background(clips, 2 * options.seeds)
        rows = [[f"{v:.3f}" if isinstance(v, float) else v for v in entry.values()] for entry in found]
        print(markdown_table(tuple(found[0]), rows))
    else:
        rows = [
            (e["clips a class"], e["method"], f"{100 * e['accuracy']:.1f}",
             f"{100 * e['low']:.1f} to {100 * e['high']:.1f}", f"{e['seconds']:.1f}")
            for e in compare_methods(clips, options.seeds)
        ]  # fmt: skip
        print(markdown_table(("clips a class", "method", "accuracy %", "95 % interval", "seconds"), rows, "rlrrr"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
