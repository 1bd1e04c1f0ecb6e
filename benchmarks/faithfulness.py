"""Faithfulness of explanations: cells with most heat are deleted, and the answer should lose more than by chance.

`python -m benchmarks.faithfulness --dataset DIR [--model DIR] [--fold K] [--clips N]` explains clips of every class in
turn, and prints by how much more a tenth of the cells costs the explained class where it has most heat than at random
(`quaclrs.inference.faithfulness`), in log-odds, for each method. Deletion chooses its map by what the hottest tenth
costs, so the comparison with other methods favours it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from quaclrs import load_classifier, load_urbansound13
from quaclrs.audio import load_audio
from quaclrs.data import class_names
from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record
from quaclrs.evaluation.reports.tables import markdown_table, percent
from quaclrs.inference.explain import EXPLANATION_METHODS, explain


def choose_clips(dataset: Any, fold: int, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Class and waveform (48 kHz) of clips of a fold, its classes in turn, each recording once."""
    names, seen = class_names(dataset), set()
    rows: dict[str, list[int]] = {name: [] for name in names}
    columns = (dataset[name][:] for name in ("label", "fold", "recording_id"))
    for row, (label, of_fold, recording) in enumerate(zip(*columns, strict=True)):
        if of_fold == fold and recording not in seen:
            seen.add(recording)
            rows[names[label]].append(row)
    turns = [(turn, name) for turn in range(count) for name in names if turn < len(rows[name])]
    for turn, name in sorted(turns, key=lambda entry: entry[0])[:count]:
        yield name, load_audio(dataset[rows[name][turn]]["audio"]["bytes"], 48_000)


def print_methods(found: dict[str, list[tuple[str, float, float, float]]]) -> list[dict]:
    """Print a table of methods and the mean difference by class of the first; rows of both."""
    rows: list[dict] = []
    generator = np.random.default_rng(0)
    for method, clips in found.items():
        difference = np.array([most - random for _, most, random, _ in clips])
        drawn = difference[generator.integers(len(difference), size=(2000, len(difference)))].mean(1)
        low, high = np.quantile(drawn, (0.025, 0.975))
        rows.append(
            {
                "method": method,
                "clips": len(clips),
                "most_heat": np.mean([most for _, most, _, _ in clips]),
                "at_random": np.mean([random for _, _, random, _ in clips]),
                "difference": {"value": difference.mean(), "low": low, "high": high},
                "above_0": (difference > 0).mean(),
                "seconds": np.median([taken for *_, taken in clips]),
            }
        )
    cells = [
        (
            row["method"], *(f"{row[name]:.2f}" for name in ("most_heat", "at_random")),
            "{value:.2f} ({low:.2f} to {high:.2f})".format(**row["difference"]),
            percent(row["above_0"]), f"{row['seconds']:.2f}",
        )
        for row in rows
    ]  # fmt: skip
    print(markdown_table(["method", "most heat", "at random", "difference", "clips above 0", "s a clip"], cells))
    method, clips = next(iter(found.items()))
    by_class: dict[str, list[float]] = {}
    for name, most, random, _ in clips:
        by_class.setdefault(name, []).append(most - random)
    means = {name: np.mean(differences) for name, differences in sorted(by_class.items())}
    print(f"\n{method}, difference by class: " + ", ".join(f"{name} {mean:.2f}" for name, mean in means.items()))
    return rows + [{"method": method, "class": name, "difference": mean} for name, mean in means.items()]


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.faithfulness", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--dataset", required=True, metavar="DIR", help="folder that the builder wrote")
    parser.add_argument("--model", metavar="DIR", help="model/ folder of a run; the package's own without it")
    parser.add_argument("--fold", type=int, default=1, metavar="K", help="whose clips (default 1)")
    parser.add_argument("--clips", type=int, default=100, metavar="N", help="how many (default 100)")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    classifier = load_classifier(options.model, "cpu", backend="torch")
    one_encoder = not classifier.model.config.more_encoders
    methods = EXPLANATION_METHODS if one_encoder else EXPLANATION_METHODS[:1]
    found: dict[str, list[tuple[str, float, float, float]]] = {}
    for label, waveform in choose_clips(load_urbansound13(options.dataset), options.fold, options.clips):
        for method in methods:
            began = time.perf_counter()
            kept = explain(classifier, waveform, 48_000, label, method).faithfulness
            lost = kept.whole - kept.without_most_heat, kept.whole - kept.without_random
            found.setdefault(method, []).append((label, *lost, time.perf_counter() - began))
    if not found:
        raise QuaclrsError(f"--fold {options.fold} of {options.dataset} holds no clips; give another")
    write_record(options.json, command_of(parser, arguments), print_methods(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
