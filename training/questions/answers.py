"""The figures of each answer, from the runs that are finished: what the page shows and what is kept of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quaclrs.data import class_names, load_urbansound13
from quaclrs.evaluation.run_metrics import KNN, LINEAR, RANDOM_KNN, RANDOM_LINEAR
from quaclrs.labels import SIRENNET_CLASSES, URBANSOUND8K_CLASSES
from quaclrs.ssl import METHODS

from ..runs.metrics import SHORTCUT_CONTROL
from ..runs.run import Run
from ..ssl.results import PREDICTIONS
from . import plan, under_noise
from .laboratory import Laboratory, knn_of
from .plan import Chosen
from .scores import Scores, Tested, finished, folds_together, in_common, tested
from .trainings import ALONE, FURTHER, POLICIES

#: Sets of test conditions of question 2 -> the columns that they hold.
CONDITIONS: Mapping[str, Sequence[str]] = {
    "clean": ["clean"],
    **{kind: [under_noise.name_of(kind, ratio) for ratio in under_noise.SNRS] for kind in ("gaussian", "recorded")},
}


def answer_all(laboratory: Laboratory, chosen: Chosen) -> dict[str, Any]:
    """The figures of the four answers, as JSON has them; a row is absent while it has no finished run."""
    rows = load_urbansound13(laboratory.config.dataset)
    names = class_names(rows)
    scores = Scores(dict(zip(rows["clip_id"][:], rows["recording_id"][:], strict=True)), len(names))
    trainings = laboratory.trainings
    few = plan.few_labels(trainings, chosen)
    return {
        "encoders": describe_encoders(laboratory, chosen, scores),
        "few_labels": few_labels(scores, few, trainings.clips),
        "under_noise": in_noise(scores, plan.under_noise(trainings, chosen), names),
        "more_classes": more_classes(scores, plan.more_classes(trainings, laboratory.folds), names),
        "combination": combination(scores, plan.combinations(trainings, chosen), few),
    }


def describe_encoders(laboratory: Laboratory, chosen: Chosen, scores: Scores) -> dict[str, Any]:
    """k-NN on the validation clips before and after each self-supervised training, and what it chose."""
    trainings, seeds = laboratory.trainings, laboratory.config.all_encoder_seeds

    def of(runs: Mapping[int, Run]) -> dict[str, Any]:
        curves = finished(runs, knn_of)
        return {"before": [curve[0] for curve in curves.values()], "after": [curve[-1] for curve in curves.values()]}

    methods = {method: {seed: trainings.encoder(method, seed) for seed in seeds} for method in METHODS}
    return {
        "methods": {method: of(runs) | {"test": worth(scores, runs)} for method, runs in methods.items()},
        "further": {way: of({seeds[0]: trainings.further(way, seeds[0])}) for way in FURTHER},
        "chosen": {"methods": list(chosen.methods), "further": chosen.further},
    }


def worth(scores: Scores, runs: Mapping[int, Run]) -> dict[str, Any]:
    """Test accuracy of a frozen encoder by k-NN and by a linear probe, with the gain over itself before training."""
    found = {}
    for name, before in ((KNN, RANDOM_KNN), (LINEAR, RANDOM_LINEAR)):
        ours, theirs = (
            {seed: tested(run, file=PREDICTIONS[of]) for seed, run in runs.items() if run.is_finished()}
            for of in (name, before)
        )
        if ours:
            found[name] = scores.accuracy(list(ours.values())) | _gain_over(scores, "untrained", ours, theirs)
    return found


def few_labels(
    scores: Scores, rows: Mapping[str, Mapping[tuple[str, int], Run]], clips: Mapping[tuple[str, int], int]
) -> dict[str, Any]:
    """Accuracy of each row by labelled recordings a class, with its gain over training from scratch."""
    amounts = list(dict.fromkeys(amount for amount, _ in clips))
    found = {row: finished(runs) for row, runs in rows.items()}

    def at(row: str, amount: str) -> dict[int, Tested]:
        return {seed: one for (of, seed), one in found[row].items() if of == amount}

    table: dict[str, dict[str, Any]] = {}
    for row in rows:
        for amount in amounts:
            if ours := at(row, amount):
                entry = scores.accuracy(list(ours.values()))
                entry |= _gain_over(scores, "scratch", ours, {} if row == plan.SCRATCH else at(plan.SCRATCH, amount))
                table.setdefault(row, {})[amount] = entry
    further: dict[str, dict[str, Any]] = {}
    for trained, as_it_was in ((plan.YAMNET_FURTHER, plan.YAMNET), (plan.BOTH_FURTHER, plan.BOTH)):
        of_amounts = {a: _gain_over(scores, "itself", at(trained, a), at(as_it_was, a)) for a in amounts}
        further[as_it_was] = {amount: entry["over_itself"] for amount, entry in of_amounts.items() if entry}
    labelled = {amount: statistics.mean(n for (of, _), n in clips.items() if of == amount) for amount in amounts}
    return {"clips": labelled, "rows": table, "further": further}


def in_noise(scores: Scores, rows: Mapping[tuple[str, str], Mapping[int, Run]], names: Sequence[str]) -> dict[str, Any]:
    """Accuracy of each start and policy in clean sound and in each kind of noise, with gains over no augmentation."""
    found = {
        row: {s: under_noise.read(run, names) for s, run in runs.items() if under_noise.is_measured(run, None)}
        for row, runs in rows.items()
    }
    table: dict[str, dict[str, Any]] = {}
    for start in dict.fromkeys(start for start, _ in rows):
        for policy in POLICIES:
            entry: dict[str, Any] = {}
            for name, columns in CONDITIONS.items():
                ours, bare = (_under(found[start, of], columns) for of in (policy, "none"))
                if ours:
                    entry[name] = scores.accuracy(list(ours.values()))
                    entry[name] |= _gain_over(scores, "none", ours, {} if policy == "none" else bare)
                    entry[name]["by_column"] = {
                        column: statistics.mean(float(np.mean(one.called[i] == one.labels)) for one in ours.values())
                        for i, column in enumerate(columns)
                    }
            if entry:
                noisy = [column for kind, columns in CONDITIONS.items() if kind in entry for column in columns][1:]
                ours, bare = (_under(found[start, of], noisy) for of in (policy, "none"))
                entry["noise"] = scores.accuracy(list(ours.values()))
                entry["noise"] |= _gain_over(scores, "none", ours, {} if policy == "none" else bare)
                table.setdefault(start, {})[policy] = entry
    return {"rows": table, "alone": list(ALONE)}


def more_classes(
    scores: Scores, rows: Mapping[tuple[str, str], Mapping[tuple[int, int], Run]], names: Sequence[str]
) -> dict[str, Any]:
    """Accuracy on the nine and on the four, by network and setting; what the four change for the nine."""
    nine, four = ([names.index(name) for name in group] for group in (URBANSOUND8K_CLASSES, SIRENNET_CLASSES))
    table: dict[str, dict[str, Any]] = {}
    changes: dict[str, Any] = {}
    for (network, setting), runs in rows.items():
        if of_seeds := _over_folds(runs):
            entry = {"nine": scores.accuracy([one.of(nine) for one in of_seeds.values()])}
            if setting != plan.NINE:
                entry["four"] = scores.accuracy([one.of(four) for one in of_seeds.values()])
                entry["all"] = scores.accuracy(list(of_seeds.values()))
            table.setdefault(network, {})[setting] = entry
    for network in table:
        # Among the nine alone: what the four take from them by being an answer is not what they change in the network.
        without = {seed: one.of(nine) for seed, one in _over_folds(rows[network, plan.NINE], nine).items()}
        for name, among in (("over_nine", None), ("among_nine", nine)):
            with_four = _over_folds(rows[network, plan.THIRTEEN], among)
            ours = {seed: one.of(nine) for seed, one in with_four.items()}
            if gain := _gain_over(scores, "nine", ours, without):
                changes.setdefault(network, {})[name] = gain["over_nine"]
    controls = {
        setting: _mean_control(list(rows[plan.SCRATCH, setting].values())) for setting in (plan.THIRTEEN, plan.LEAKY)
    }
    return {"rows": table, "changes": changes, "controls": controls}


def combination(
    scores: Scores,
    grid: Mapping[tuple[str, str, str], Mapping[int, Run]],
    few: Mapping[str, Mapping[tuple[str, int], Run]],
) -> dict[str, Any]:
    """The grid on the validation clips; the winner on the test clips, beside training from scratch and the package."""
    done = [{seed: run for seed, run in runs.items() if run.is_finished()} for runs in grid.values()]
    seeds = sorted(set.intersection(*(set(runs) for runs in done)))
    if not seeds:
        return {}
    validation = {
        name: [runs[seed].results().validation_accuracy or 0.0 for seed in seeds] for name, runs in grid.items()
    }
    best = max(validation, key=lambda name: statistics.mean(validation[name]))
    winner = {seed: tested(grid[best][seed]) for seed in seeds}
    answer: dict[str, Any] = {
        "grid": [{"combination": list(name), "validation": values} for name, values in validation.items()],
        "winner": list(best),
        "test": {"winner": scores.accuracy(list(winner.values()))},
    }
    for rival, row in (("scratch", plan.SCRATCH), ("package", plan.BOTH)):
        other = finished({seed: few[row]["all", seed] for seed in winner if ("all", seed) in few[row]})
        if other:
            answer["test"][rival] = scores.accuracy(list(other.values()))
            answer["test"]["winner"] |= _gain_over(scores, rival, winner, other)
    return answer


def _gain_over(
    scores: Scores, name: str, ours: Mapping[Any, Tested], others: Mapping[Any, Tested]
) -> dict[str, dict[str, Any]]:
    """`over_NAME`: the gain on the seeds that both have, if there are any."""
    both = in_common(ours, others)
    return {f"over_{name}": scores.gain(*both)} if both[0] else {}


def _under(of_seeds: Mapping[int, Mapping[str, Any]], columns: Sequence[str]) -> dict[int, Tested]:
    """What the seeds' networks called the clips under some conditions; empty where one was not measured."""
    return {
        seed: Tested(found["clip_id"], found["label"], np.stack([found[column] for column in columns]))
        for seed, found in of_seeds.items()
        if all(column in found for column in columns)
    }


def _over_folds(runs: Mapping[tuple[int, int], Run], among: Sequence[int] | None = None) -> dict[int, Tested]:
    """Seed -> the test clips of all folds; seeds that lack a fold are left out."""
    folds = {fold for fold, _ in runs}
    of_runs = finished(runs, lambda run: tested(run, among))
    seeds = [seed for seed in dict.fromkeys(s for _, s in runs) if all((fold, seed) in of_runs for fold in folds)]
    return {seed: folds_together([of_runs[fold, seed] for fold in sorted(folds)]) for seed in seeds}


def _mean_control(runs: Sequence[Run]) -> dict[str, float]:
    """Accuracy of a classifier that knows duration, channels and sampling rate alone, clips of all folds alike."""
    once = {run.fold: run.results() for run in runs if run.is_finished()}
    found = {}
    for name, source in (("all", "accuracy"), ("nine", "accuracy_urbansound8k"), ("four", "accuracy_sirennet")):
        values = [result.controls[SHORTCUT_CONTROL][source] for result in once.values()]
        if values:
            found[name] = statistics.mean(value or 0.0 for value in values)
    return found
