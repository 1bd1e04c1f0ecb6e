"""Knowledge of AudioSet's kinds of sound for the classes: which kind speaks for which class, and which for `other`.

Background teaches `other` some kinds of sound. YAMNet has heard hundreds more, and its own classifier names them: a hen
that no background had is a hen to it, and no dog.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quaclrs.errors import QuaclrsError
from quaclrs.labels import OTHER
from quaclrs.text_files import read_mapping

_TABLE = Path(__file__).with_name("tags_of_classes.yaml")
_KINDS = Path(__file__).parents[1] / "weights" / "audioset_kinds.txt"


def tag_groups_of(class_names: Sequence[str], file: str | None = None) -> list[list[int]]:
    """Kinds of sound of each class, numbered from 0 as YAMNet does; of `other` also those that the table does not name.

    Args:
        class_names: of the data set, and `other`.
        file: table of kinds by class; the one beside this module where absent.

    Raises:
        QuaclrsError: the table says nothing of a class, has another form, or names an unknown kind.
    """
    source = Path(file) if file else _TABLE
    table: dict[str, Any] = {"sets": {}, "classes": {}, "undecided": []}
    table |= read_mapping(source, f"give --tags a table like {_TABLE.name}")
    kinds = audioset_kinds()
    places = {kind: [number] for number, kind in enumerate(kinds)}
    try:
        for name, entries in table["sets"].items():
            places[name] = _numbers(entries, places)
        of_class = {name: _numbers(entries, places) for name, entries in table["classes"].items()}
        undecided = _numbers(table["undecided"], places)
    except KeyError as error:
        raise QuaclrsError(f"--tags {source}: {error} is not in training/weights/audioset_kinds.txt") from error
    except (AttributeError, TypeError, IndexError) as error:
        raise QuaclrsError(f"--tags {source}: write it as {_TABLE.name}, names with lists of kinds") from error
    if missing := [name for name in class_names if name not in (*of_class, OTHER)]:
        raise QuaclrsError(f"--tags: {source.name} says nothing of {missing[0]}; add it, or pass --tag-weight 0")
    spoken_for = {*undecided, *(kind for numbers in of_class.values() for kind in numbers)}
    unnamed = [number for number in range(len(kinds)) if number not in spoken_for]
    of_class[OTHER] = sorted([*of_class.get(OTHER, []), *unnamed])
    return [of_class[name] for name in class_names]


def audioset_kinds() -> list[str]:
    """Names of the kinds of sound that YAMNet's classifier tells apart, in its order."""
    return _KINDS.read_text(encoding="utf-8").splitlines()


def _numbers(entries: Sequence[str], places: Mapping[str, list[int]]) -> list[int]:
    """The kinds of entries such as `Dog`, `Dog .. Whimper (dog)` or the name of a set."""
    if not isinstance(entries, list):
        raise TypeError(entries)
    numbers: set[int] = set()
    for entry in entries:
        first, _, last = entry.partition(" .. ")
        if last and places[first] > places[last]:
            raise KeyError(entry)
        numbers.update(range(places[first][0], places[last][0] + 1) if last else places[first])
    return sorted(numbers)
