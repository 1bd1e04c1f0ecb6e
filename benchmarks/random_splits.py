"""Effect of a random split on the score: one simple classifier on the same clips under three ways of splitting them.

`python -m benchmarks.random_splits --dataset DIR` describes every clip by mean and standard deviation of its mel bands
and scores logistic regression and 1-nearest-neighbour over the complete folds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from quaclrs import LogMelSpectrogram, QuaclrsFeatureExtractor, load_urbansound13
from quaclrs.data import plan_folds
from quaclrs.errors import report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record
from quaclrs.folds import find_complete_folds
from quaclrs.labels import URBANSOUND8K
from quaclrs.transforms import ClipTransform, transform_clips


def describe_clips(dataset) -> np.ndarray:
    """Mean and standard deviation over time of every mel band, in decibels scaled to [0, 1]: (clips, 2 * n_mels)."""
    log_mel = LogMelSpectrogram()
    batches = torch.utils.data.DataLoader(
        transform_clips(dataset, ClipTransform(QuaclrsFeatureExtractor())), batch_size=32
    )
    with torch.inference_mode():
        spectrograms = (log_mel(batch["input_values"]) for batch in tqdm(batches, desc="log-mel", unit="batch"))
        return torch.cat([torch.cat([s.mean(-1), s.std(-1)], dim=1) for s in spectrograms]).numpy()


def splits(dataset, kind: str, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to train and to test on, once for every complete fold; the random split has test sets of the same sizes."""
    complete = find_complete_folds(dataset["fold"][:], dataset["source"][:])
    shuffled = np.random.default_rng(seed).permutation(len(dataset))
    for fold in complete:
        plan = plan_folds(dataset, fold, "paper" if kind == "paper" else "strict")
        if kind == "random":
            test, shuffled = shuffled[: len(plan.test)], np.roll(shuffled, -len(plan.test))
            yield np.setdiff1d(np.arange(len(dataset)), test), test
        else:
            yield np.concatenate([plan.train, plan.validation]), plan.test


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    description = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.random_splits", description=description)
    parser.add_argument("--dataset", required=True, metavar="DIR", help="a built data set")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the random split")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    dataset = load_urbansound13(options.dataset)
    features, labels = describe_clips(dataset), np.asarray(dataset["label"][:])
    old = np.asarray(dataset["source"][:]) == URBANSOUND8K
    table = []
    print(f"{'split':<8}{'classifier':<22}{'all':>8}{'UrbanSound8K':>14}{'others':>8}")
    for kind in ("random", "paper", "strict"):
        for name, classifier in {
            "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)),
            "nearest neighbour": make_pipeline(StandardScaler(), KNeighborsClassifier(1)),
        }.items():
            right, tested = [], []
            for train, test in splits(dataset, kind, options.seed):
                right.append(classifier.fit(features[train], labels[train]).predict(features[test]) == labels[test])
                tested.append(test)
            hits, rows = np.concatenate(right), np.concatenate(tested)
            parts = [hits.mean(), hits[old[rows]].mean(), hits[~old[rows]].mean() if (~old[rows]).any() else np.nan]
            print(f"{kind:<8}{name:<22}{parts[0]:>8.1%}{parts[1]:>14.1%}{parts[2]:>8.1%}")
            table.append({"split": kind, "classifier": name, "all": parts[0], "urbansound8k": parts[1]})
            table[-1]["others"] = None if np.isnan(parts[2]) else parts[2]
    write_record(options.json, command_of(parser, arguments), table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
