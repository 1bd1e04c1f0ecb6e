"""Leaks between folds of numbered files, measured by the nearest neighbour of every clip.

Who cuts a long recording into clips numbers them in order. Where clips share no sound, nothing in them proves that they
are of one recording; but a clip's nearest neighbour by sound is then far more often a neighbour by number than chance
allows. Each such pair that lies in two folds may be a recording that both trains and tests.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

#: Files whose numbers differ by at most this are neighbours.
REACH = 2


def series_and_number(clip_id: str) -> tuple[str, int] | None:
    """`sirennet/ambulance/sound_17` is number 17 of `sirennet/ambulance/sound_`; None without a number at the end."""
    found = re.fullmatch(r"(.*?)([0-9]+)", clip_id, re.DOTALL)
    return (found[1], int(found[2])) if found else None


def neighbours_by_number(clip_ids: Sequence[str]) -> dict[str, list[str]]:
    """The other clips of the same series within `REACH` numbers of each clip that has any, in the order of numbers."""
    series: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for clip_id in clip_ids:
        if numbered := series_and_number(clip_id):
            series[numbered[0]].append((numbered[1], clip_id))
    found: dict[str, list[str]] = {}
    for members in map(sorted, series.values()):
        for i, (number, clip_id) in enumerate(members):
            around = members[max(0, i - 2 * REACH) : i + 2 * REACH + 1]  # `sound_1` and `sound_01` share a number
            near = [other for n, other in around if abs(n - number) <= REACH and other != clip_id]
            if near:
                found[clip_id] = near
    return found


@dataclass(frozen=True)
class NeighbourLeak:
    """Count the clips of a class whose nearest neighbour, of another recording, is next to them in another fold.

    Attributes:
        clips: how many clips were compared.
        adjacent: share of them whose nearest neighbour by sound is a neighbour by number: signs of uncut recordings.
        leaking: share whose nearest neighbour is one by number and lies in another fold.
        chance: `leaking` if the nearest neighbour were any clip of another recording.
    """

    clips: int
    adjacent: float
    leaking: float
    chance: float

    @classmethod
    def of(
        cls, clip_ids: Sequence[str], nearest: Sequence[str], recordings: Sequence[str], folds: Sequence[int]
    ) -> NeighbourLeak:
        """Measure the clips of one class.

        Args:
            clip_ids, recordings, folds: of every clip.
            nearest: clip_id of its nearest neighbour by sound among those of other recordings.
        """
        recording_of, fold_of = dict(zip(clip_ids, recordings, strict=True)), dict(zip(clip_ids, folds, strict=True))
        by_number = neighbours_by_number(clip_ids)
        sizes = Counter(recordings)
        adjacent, leaking, chance = 0, 0, 0.0
        for clip, neighbour in zip(clip_ids, nearest, strict=True):
            beside = [c for c in by_number.get(clip, ()) if recording_of[c] != recording_of[clip]]
            apart = [c for c in beside if fold_of[c] != fold_of[clip]]
            adjacent += neighbour in beside
            leaking += neighbour in apart
            chance += len(apart) / max(len(clip_ids) - sizes[recording_of[clip]], 1)
        count = max(len(clip_ids), 1)
        return cls(len(clip_ids), adjacent / count, leaking / count, chance / count)


def leak_by_class(
    labels: Sequence[str],
    clip_ids: Sequence[str],
    nearest: Sequence[str | None],
    recordings: Sequence[str],
    folds: Sequence[int],
) -> dict[str, NeighbourLeak]:
    """The leak of every class that holds clips with a nearest neighbour: those whose folds the builder dealt."""
    of_class: dict[str, list[tuple[str, str, str, int]]] = defaultdict(list)
    for label, clip, neighbour, recording, fold in zip(labels, clip_ids, nearest, recordings, folds, strict=True):
        if neighbour:
            of_class[label].append((clip, neighbour, recording, fold))
    return {label: NeighbourLeak.of(*zip(*rows, strict=True)) for label, rows in sorted(of_class.items())}


def describe_leaks(leaks: dict[str, NeighbourLeak]) -> str:
    """One sentence with the leak of every class that was measured; empty where none was."""
    if not leaks:
        return ""
    figures = ", ".join(f"{name} {leak.leaking:.1%} (by chance {leak.chance:.1%})" for name, leak in leaks.items())
    return (
        "parts of one recording may lie in two folds where nothing in them proves it; clips whose nearest neighbour by "
        f"sound is a neighbouring file in another fold: {figures}"
    )
