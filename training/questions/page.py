"""The page of the four answers: for each three sentences, a table, a picture, and what cannot be concluded."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quaclrs.evaluation.reports.tables import markdown_table, percent
from quaclrs.evaluation.run_metrics import KNN, LINEAR

from . import plan
from .figures import tuned_row
from .trainings import POLICIES

_HEAD = """# The paper's four questions

{about}

```bash
{command}
```

{runs}
An interval is of 95 %, by bootstrap over test recordings; differences are paired. ± is the standard deviation over
seeds. [What holds for all tables](index.md#read-this-before-any-figure).
"""

_LIMITS = {
    "few_labels": (
        "The encoders heard {clips:.0f} clips; with more sound without labels self-supervision may gain more. One "
        "fold, one small network: a larger one may rank the methods otherwise. Presets are for longer training. "
        "A point is of {seeds} draw{s} of the labelled recordings; [few labels](few-labels.md) shows how far such "
        "draws differ."
    ),
    "under_noise": (
        "Intervals are of the test recordings alone. Training scatters as much beside them: [the same seed on another "
        "machine](../notes.md#the-same-seed-on-another-machine) ranked the policies otherwise. The recorded noise is "
        "rain, wind, waves, thunder, crickets and fire, and no traffic."
    ),
    "more_classes": (
        "The four classes have few recordings, and where file names hide them the strict folds may leak still. Their "
        "test clips differ between the two kinds of folds, so those rows are not paired."
    ),
    "combination": (
        "The grid is small, and its best was chosen on one validation fold of {clips} clips. Longer training, larger "
        "networks and 224 pixels were not tried. The package's recipe was chosen on all three folds, "
        "and hears stages before the last too since."
    ),
}


def write_page(kept: Mapping[str, Any]) -> str:
    """The Markdown page.

    Args:
        kept: `command`, `about`, `runs`, `validation_clips`, and the answers of `answer_all`.
    """
    parts = [_HEAD.format(command=kept["command"], about=_filled(kept["about"]), runs=_filled(kept["runs"]))]
    parts += [part(kept) for name, part in _PARTS.items() if kept[name].get("rows") or kept[name].get("grid")]
    return "\n".join(parts)


def _few_labels(kept: Mapping[str, Any]) -> str:
    answer = kept["few_labels"]
    rows, amounts, further = answer["rows"], list(answer["clips"]), answer["further"]
    first, last = amounts[0], amounts[-1]
    best = tuned_row(kept)
    sentences = [
        f"A small network that first learns from the clips at hand without labels "
        f"({best.removesuffix(', fine-tuned')}) and is then fine-tuned differs from one trained from scratch by "
        f"{_gain(rows[best][first]['over_scratch'])} points with {_recordings(first)} and "
        f"{_gain(rows[best][last]['over_scratch'])} with {_recordings(last)}.",
        f"Of networks that have heard or seen more, frozen under a linear layer, YAMNet reaches "
        f"{percent(rows[plan.YAMNET][first]['accuracy'])} and {percent(rows[plan.YAMNET][last]['accuracy'])}, and with "
        f"ImageNet's beside it {percent(rows[plan.BOTH][first]['accuracy'])} and "
        f"{percent(rows[plan.BOTH][last]['accuracy'])}; from scratch it is "
        f"{percent(rows[plan.SCRATCH][first]['accuracy'])} and {percent(rows[plan.SCRATCH][last]['accuracy'])}.",
        f"Once there is a network that has heard AudioSet, training it further without labels "
        f"{_verdict([further[plan.BOTH][a] for a in amounts])}: {_gain(further[plan.BOTH][first])} points with "
        f"{_recordings(first)} and {_gain(further[plan.BOTH][last])} with {_recordings(last)}; YAMNet alone, "
        f"{_gain(further[plan.YAMNET][first])} and {_gain(further[plan.YAMNET][last])}.",
    ]
    head = ["training", *(f"{_recordings(a)} ({answer['clips'][a]:.0f} clips)" for a in amounts), "gain over scratch"]
    body = [
        [row, *(_mean(of.get(amount)) for amount in amounts), _gain(of[last].get("over_scratch"))]
        for row, of in rows.items()
    ]
    chosen, before = kept["encoders"]["chosen"], kept["encoders"]["further"]
    ways = "; ".join(
        f"{way}: {percent(of['before'][0])} to {percent(of['after'][0])}" for way, of in before.items() if of["after"]
    )
    note = (
        f"The last column is with {_recordings(last)}. `{chosen['methods'][0]}` has the best k-NN on the validation "
        f"clips. YAMNet is trained further by {chosen['further']}, chosen the same way ({ways})."
    )
    note = f"{_filled(note)}\n\n{_encoders(kept)}"
    seeds = rows[plan.SCRATCH][first]["seeds"]
    limits = {"clips": answer["clips"][last], "seeds": seeds, "s": "s" * (seeds != 1)}
    title = "1. What does self-supervision add with few labels?"
    return _section(title, sentences, head, body, note, "few_labels", answer, limits)


def _encoders(kept: Mapping[str, Any]) -> str:
    """The frozen encoders of the seven methods, all trained on one machine."""
    found = {method: of["test"] for method, of in kept["encoders"]["methods"].items() if of["test"]}
    head = ["frozen encoder", "k-NN, %", "gain over itself untrained", "linear, %", "gain over itself untrained"]
    body = [
        [method, *(text for name in (KNN, LINEAR) for text in (_mean(of[name]), _gain(of[name].get("over_untrained"))))]
        for method, of in sorted(found.items(), key=lambda item: -item[1][KNN]["accuracy"])
    ]
    told = f"The encoders themselves, test clips, {len(next(iter(found.values()))[KNN]['of_each'])} seeds, one machine:"
    return f"{told}\n\n{markdown_table(head, body)}"


def _under_noise(kept: Mapping[str, Any]) -> str:
    rows = kept["under_noise"]["rows"]
    sentences = []
    for start, policies in rows.items():
        gains = {policy: entry["noise"]["over_none"] for policy, entry in policies.items() if policy != "none"}
        order = sorted(gains, key=lambda policy: -gains[policy]["difference"])
        told = [policy for policy in order if gains[policy]["interval"][0] > 0]
        sure = f"intervals above 0: {', '.join(f'`{policy}`' for policy in told)}" if told else "no interval is above 0"
        sentences.append(
            f"{start.capitalize()}, `{order[0]}` is best under noise: {_gain(gains[order[0]])} points against no "
            f"augmentation, the mean of all ratios and noises ({sure})."
        )
    alone = kept["under_noise"]["alone"]
    places = {
        start: 1 + sorted(alone, key=lambda p: -of[p]["noise"]["over_none"]["difference"]).index("patch_augment")
        for start, of in rows.items()
    }
    gains_of_patches = {start: rows[start]["patch_augment"]["noise"]["over_none"] for start in rows}
    patches = " and ".join(
        f"{_gain(g)} {start} (place {places[start]} of {len(alone)})" for start, g in gains_of_patches.items()
    )
    sentences.append(f"PatchAugment, the paper's most consistent, gives {patches}.")
    conditions = {"clean": "clean", "gaussian": "Gaussian noise", "recorded": "recorded noise", "noise": "all noise"}
    head = ["start", "policy", *(f"{title}, %" for title in conditions.values()), "gain, all noise"]
    body = [
        [
            start,
            policy,
            *(_mean(of[policy].get(name)) for name in conditions),
            _gain(of[policy]["noise"].get("over_none")),
        ]
        for start, of in rows.items()
        for policy in POLICIES
        if policy in of
    ]
    note = (
        "Noise columns are means over 20, 15, 10, 5, 0 and -5 dB. `paper` is all five together, each with probability "
        "0.5; alone they have the same. `default` is the package's policy for training."
    )
    title = "2. How much does augmentation help, and under noise?"
    return _section(title, sentences, head, body, note, "under_noise", kept["under_noise"])


def _more_classes(kept: Mapping[str, Any]) -> str:
    answer = kept["more_classes"]
    rows, changes, controls = answer["rows"], answer["changes"], answer["controls"]
    strict, paper = plan.THIRTEEN, plan.LEAKY
    told = "; ".join(
        f"{network}: {_gain(of['over_nine'])} points ({_gain(of['among_nine'])} when asked among the nine alone)"
        for network, of in changes.items()
    )
    four = "; ".join(
        f"{network}: {percent(of[strict]['four']['accuracy'])} and {percent(of[paper]['four']['accuracy'])}"
        for network, of in rows.items()
        if strict in of and paper in of
    )
    sentences = [
        f"Four more classes change the nine by this much: {told}.",
        f"Accuracy on the four, in strict folds and in the paper's, which deal them clip by clip: {four}.",
        f"Duration, channels and sampling rate alone name {percent(controls[strict]['four'])} of the four's clips "
        f"rightly in strict folds, {percent(controls[paper]['four'])} in the paper's, and "
        f"{percent(controls[strict]['nine'])} of the nine's.",
    ]
    head = ["network", "setting", "nine, %", "interval", "four, %", "interval", "all 13, %"]
    body = [
        [network, setting, *(text for group in ("nine", "four") for text in _with_interval(entry.get(group))),
         _mean(entry.get("all"))]
        for network, settings in rows.items()
        for setting, entry in settings.items()
    ]  # fmt: skip
    note = "Folds 1, 2 and 3 pooled. Paper folds are without augmented copies here, so that the leak alone shows."
    title = "3. What do more classes change, and what do leaks?"
    return _section(title, sentences, head, body, note, "more_classes", answer)


def _combination(kept: Mapping[str, Any]) -> str:
    answer = kept["combination"]
    test = answer["test"]
    winner = test["winner"]
    mean = {tuple(e["combination"]): statistics.mean(e["validation"]) for e in answer["grid"]}
    order = sorted(mean, key=lambda name: -mean[name])
    over_package = winner["over_package"]["difference"]
    word = "behind" if over_package < 0 else "ahead of"
    sentences = [
        f"On the validation clips {', '.join(answer['winner'])} is best of {len(order)} combinations "
        f"({percent(mean[order[0]])}, the next {percent(mean[order[1]])}).",
        f"Tested once it reaches {_mean(winner)} %, {_gain(winner['over_scratch'])} points over training from scratch.",
        f"That is {word} the package's recipe, a linear layer on two networks that others trained, by "
        f"{_gain(winner['over_package'])} points.",
    ]
    head = ["method", "augmentation", "labels used by", "validation, %"]
    body = [[*name, percent(mean[name], _deviation(answer, name), unit="")] for name in order]
    test_rows = [
        [name, _mean(test[key]), _gain(winner.get(f"over_{key}"))]
        for key, name in (("winner", "the winner"), ("scratch", plan.SCRATCH), ("package", plan.BOTH))
        if key in test
    ]
    note = markdown_table(["tested once", "accuracy, %", "the winner's gain over it"], test_rows)
    title = "4. Which combination is best?"
    return _section(title, sentences, head, body, note, "combination", answer, {"clips": kept["validation_clips"]})


_PARTS = {
    "few_labels": _few_labels,
    "under_noise": _under_noise,
    "more_classes": _more_classes,
    "combination": _combination,
}


def _section(
    title: str,
    sentences: Sequence[str],
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    note: str,
    name: str,
    answer: Mapping[str, Any],
    limits: Mapping[str, Any] | None = None,
) -> str:
    numbers = [not any(cell and cell[0].isalpha() for cell in column) for column in zip(*body, strict=True)]
    align = "".join("r" if number else "l" for number in numbers)
    lines = [f"## {title}", "", _filled(" ".join(sentences)), "", markdown_table(head, body, align), "", note, ""]
    lines += [f"<small>Source: `runs/questions.json`, {name}; {_seeds(answer)}.</small>", ""]
    lines += [f"![{title.split('. ')[1]} The table above as a picture](../pictures/questions_{name}.png)", ""]
    return "\n".join([*lines, _filled(f"**What this cannot tell.** {_LIMITS[name].format(**limits or {})}"), ""])


def _seeds(answer: Mapping[str, Any]) -> str:
    """How many seeds the entries of an answer are the mean of: a budget may have ended before all were there."""

    def found(part: Any) -> Iterator[int]:
        if isinstance(part, Mapping):
            if "seeds" in part:
                yield part["seeds"]
            for below in part.values():
                yield from found(below)

    fewest, most = min(found(answer)), max(found(answer))
    return f"{fewest} to {most} seeds" if fewest < most else f"{most} seed{'s' * (most != 1)}"


def _filled(text: str) -> str:
    """A paragraph in lines of 120 characters."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _recordings(amount: str) -> str:
    return "every label" if amount == "all" else f"{amount} recording{'s' * (amount != '1')} a class"


def _mean(entry: Mapping[str, Any] | None) -> str:
    return "–" if entry is None else percent(entry["accuracy"], entry["deviation"], unit="")


def _with_interval(entry: Mapping[str, Any] | None) -> list[str]:
    if entry is None:
        return ["–", "–"]
    low, high = entry["interval"]
    return [_mean(entry), f"{100 * low:.1f} to {100 * high:.1f}"]


def _gain(gain: Mapping[str, Any] | None) -> str:
    if gain is None:
        return "–"
    low, high = gain["interval"]
    return f"{100 * gain['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _verdict(gains: Sequence[Mapping[str, Any]]) -> str:
    """The gains in words: what the intervals leave of them."""
    up = sum(gain["interval"][0] > 0 for gain in gains)
    down = sum(gain["interval"][1] < 0 for gain in gains)
    if up and not down:
        return "still adds something" if up < len(gains) else "still adds"
    if down and not up:
        return "costs something" if down < len(gains) else "costs"
    return "changes nothing that can be told" if not up else "helps here and costs there"


def _deviation(answer: Mapping[str, Any], name: Sequence[str]) -> float | None:
    values = next(entry["validation"] for entry in answer["grid"] if tuple(entry["combination"]) == tuple(name))
    return statistics.stdev(values) if len(values) > 1 else None
