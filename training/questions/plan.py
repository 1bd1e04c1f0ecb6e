"""The runs of each question, by what their rows are called and by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quaclrs.labels import SIRENNET_CLASSES
from quaclrs.ssl import METHODS

from ..runs.config import ALL_RECORDINGS
from ..runs.run import Run
from .trainings import PAIR, POLICIES, POLICY, Trainings

SCRATCH, FINE_TUNED = "from scratch", "fine-tuned"

#: Rows of question 1 that are not a method's.
QUASI, HEAD = "quasi-supervised, linear", "linear"
IMAGENET, YAMNET, BOTH = "ImageNet's EfficientNet-Lite0, linear", "YAMNet, linear", "both, linear (as in the package)"
YAMNET_FURTHER, BOTH_FURTHER = "YAMNet trained further, linear", "both, YAMNet trained further, linear"

#: Settings of question 3.
THIRTEEN, NINE, LEAKY = "13 classes, strict", "nine classes, strict", "13 classes, paper"

#: Seed -> run of a row; of question 1 (labelled recordings, seed), of question 3 (fold, seed).
OfSeeds = dict[int, Run]


@dataclass(frozen=True)
class Chosen:
    """Choices by the validation fold.

    Attributes:
        methods: self-supervised methods, best first.
        further: way to train YAMNet further.
    """

    methods: Sequence[str]
    further: str


def few_labels(trainings: Trainings, chosen: Chosen) -> dict[str, dict[tuple[str, int], Run]]:
    """Question 1: the runs of each row, by labelled recordings a class and seed."""
    config = trainings.config
    best = chosen.methods[0]
    rows: dict[str, dict[tuple[str, int], Run]] = {}

    def add(row: str, amount: str, seed: int, run: Run) -> None:
        rows.setdefault(row, {})[amount, seed] = run

    for seed in config.all_seeds:
        weights = trainings.further(chosen.further, seed).path / "model" / "timm_backbone.safetensors"
        alone, further = str(weights), f"yamnet={weights}"
        for amount in config.amounts:
            add(SCRATCH, amount, seed, trainings.small("scratch", seed, amount))
            for method in METHODS:
                encoder = trainings.encoder(method, seed)
                add(f"{method}, fine-tuned", amount, seed, trainings.small(f"tuned-{method}", seed, amount, encoder))
            encoder = trainings.encoder(best, seed)
            head = trainings.small(f"head-{best}", seed, amount, encoder, head_alone=True)
            add(f"{best}, {HEAD}", amount, seed, head)
            quasi = trainings.quasi(encoder, seed, amount)
            add(QUASI, amount, seed, trainings.small(f"head-quasi-{best}", seed, amount, quasi, head_alone=True))
            add(IMAGENET, amount, seed, trainings.head("imagenet", PAIR.split("+")[0], seed, amount))
            add(YAMNET, amount, seed, trainings.head("yamnet", "yamnet", seed, amount))
            add(BOTH, amount, seed, trainings.head("both", PAIR, seed, amount))
            add(
                YAMNET_FURTHER,
                amount,
                seed,
                trainings.head("yamnet-further", "yamnet", seed, amount, pretrained_file=alone),
            )
            add(BOTH_FURTHER, amount, seed, trainings.head("both-further", PAIR, seed, amount, pretrained_file=further))
    return rows


def under_noise(trainings: Trainings, chosen: Chosen) -> dict[tuple[str, str], OfSeeds]:
    """Question 2: the runs by how they begin and by policy, with every label."""
    best = chosen.methods[0]
    return {
        (start, policy): {
            seed: trainings.small(f"{name}-{policy}", seed, encoder=encoder, augment=policy)
            for seed in trainings.config.all_encoder_seeds
            for encoder in [trainings.encoder(best, seed) if start == FINE_TUNED else None]
        }
        for start, name in ((SCRATCH, "scratch"), (FINE_TUNED, f"tuned-{best}"))
        for policy in POLICIES
    }


def more_classes(trainings: Trainings, folds: Sequence[int]) -> dict[tuple[str, str], dict[tuple[int, int], Run]]:
    """Question 3: the runs by network and setting, by fold and seed. Paper folds without copies: the leak alone."""
    settings: Mapping[str, dict[str, Any]] = {
        THIRTEEN: {},
        NINE: {"leave_out": ",".join(SIRENNET_CLASSES)},
        LEAKY: {"protocol": "paper", "fill_per_fold": "0"},
    }
    keys = [(fold, seed) for seed in trainings.config.all_encoder_seeds for fold in folds]
    names = {THIRTEEN: "strict", NINE: "nine", LEAKY: "paper"}
    of_small = {
        setting: {(f, s): trainings.small(f"classes-{names[setting]}", s, fold=f, **options) for f, s in keys}
        for setting, options in settings.items()
    }
    of_pair = {
        setting: {(f, s): trainings.head(f"both-classes-{names[setting]}", PAIR, s, fold=f, **options) for f, s in keys}
        for setting, options in settings.items()
    }
    networks = ((SCRATCH, of_small), (BOTH, of_pair))
    return {(network, setting): runs for network, of_network in networks for setting, runs in of_network.items()}


def combinations(trainings: Trainings, chosen: Chosen) -> dict[tuple[str, str, str], OfSeeds]:
    """Question 4: the grid by method, policy and way to use the labels, all of them."""
    seeds = trainings.config.all_encoder_seeds
    grid: dict[tuple[str, str, str], OfSeeds] = {}
    for method in chosen.methods[:2]:
        encoders = {seed: trainings.encoder(method, seed) for seed in seeds}
        for policy in ("none", POLICY, "default"):
            name = f"tuned-{method}" if policy == POLICY else f"tuned-{method}-{policy}"
            grid[method, policy, "fine-tuned"] = {
                seed: trainings.small(name, seed, encoder=encoder, augment=policy) for seed, encoder in encoders.items()
            }
        grid[method, "none", "linear"] = {
            seed: trainings.small(f"head-{method}", seed, encoder=encoder, head_alone=True)
            for seed, encoder in encoders.items()
        }
        grid[method, "two views", "quasi-supervised"] = {
            seed: trainings.small(
                f"head-quasi-{method}", seed, encoder=trainings.quasi(encoder, seed, ALL_RECORDINGS), head_alone=True
            )
            for seed, encoder in encoders.items()
        }
    return grid


def stages(trainings: Trainings, chosen: Chosen, folds: Sequence[int]) -> Iterator[list[Run]]:
    """All runs that begin with the encoders, in the order that lets a budget end anywhere.

    The first seed answers everything; then few labels, whose draws differ most, take precedence.
    """
    begin, *others = dict.fromkeys([*trainings.config.all_encoder_seeds, *trainings.config.all_seeds])
    yield from _learn_from_few(trainings, chosen, begin)
    yield from _answer_the_rest(trainings, chosen, folds, begin)
    for seed in others:
        yield from _learn_from_few(trainings, chosen, seed)
    for seed in others:
        yield from _answer_the_rest(trainings, chosen, folds, seed)


def _learn_from_few(trainings: Trainings, chosen: Chosen, seed: int) -> Iterator[list[Run]]:
    """Question 1 of a seed. Linear layers take seconds, so what trains a network comes after them."""
    best, second = (trainings.encoder(method, seed) for method in chosen.methods[:2])
    quasi = [trainings.quasi(best, seed, amount) for amount in trainings.config.amounts]
    yield quasi + ([trainings.quasi(second, seed, ALL_RECORDINGS)] * (seed in trainings.config.all_encoder_seeds))
    runs = [run for row in few_labels(trainings, chosen).values() for (_, of), run in row.items() if of == seed]
    yield sorted(runs, key=lambda run: dict(run.options)["mode"] != "linear_probe")


def _answer_the_rest(trainings: Trainings, chosen: Chosen, folds: Sequence[int], seed: int) -> Iterator[list[Run]]:
    """Questions 2 to 4 of a seed, a policy at a time."""
    noisy = under_noise(trainings, chosen)
    for policy in POLICIES:
        yield [runs[seed] for (_, of), runs in noisy.items() if of == policy and seed in runs]
    rest = [runs[seed] for runs in combinations(trainings, chosen).values() if seed in runs]
    classes = more_classes(trainings, folds).values()
    yield rest + [run for runs in classes for (_, of), run in runs.items() if of == seed]
