"""JSON and YAML files as somebody else may have left them: damaged, absurdly deep or large, or of another form."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import QuaclrsError, first_line_of

#: Bytes beyond which a file of options or figures is none.
_LARGEST = 1 << 26

#: A YAML file of a few lines becomes gigabytes once what its aliases repeat is written out.
_LARGEST_YAML = 1 << 20


@functools.cache
def _plain_loader() -> type:
    """Reads YAML without aliases: nested ones multiply. A model is read without YAML, which takes time to import."""
    import yaml

    class PlainLoader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("it uses aliases; write out what they repeat")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            if isinstance(node, yaml.MappingNode):
                _refuse_twice(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            return super().construct_mapping(node, deep)

    return PlainLoader


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_twice(name for name, _ in pairs)
    return dict(pairs)


def _refuse_twice(names: Iterable[str]) -> None:
    """Refuse a name that is given two values: readers would take the last without a word."""
    name, times = next(iter(Counter(names).most_common(1)), ("", 0))
    if times > 1:
        raise ValueError(f"it names {name[:40]} twice")


def parse_json(text: str | bytes) -> Any:
    """Parse JSON; a `ValueError` tells of all that is wrong, too deep a nesting among it."""
    try:
        return json.loads(text, object_pairs_hook=_mapping)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """Parse YAML without tags of Python and without aliases; a `ValueError` tells of all that is wrong."""
    import yaml

    try:
        return yaml.load(text, Loader=_plain_loader())
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def read_json(path: Path, advice: str = "restore the file") -> Any:
    """Contents of a JSON file.

    Args:
        path: of the file.
        advice: what the user can do about a file that is not JSON.

    Raises:
        QuaclrsError: the file cannot be read or is not JSON; the message names it.
    """
    return _read(path, "JSON", advice)


def read_yaml(path: Path, advice: str = "restore the file") -> Any:
    """Contents of a YAML file, as `read_json` reads JSON."""
    return _read(path, "YAML", advice)


def read_mapping(path: Path, advice: str = "restore the file") -> dict[str, Any]:
    """Contents of a JSON (`.json`) or YAML file that holds names and values; an empty one holds none.

    Raises:
        QuaclrsError: as of `read_json`, or the file holds something else.
    """
    form = "JSON" if path.suffix.lower() == ".json" else "YAML"
    values = _read(path, form, advice)
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise QuaclrsError(f"{path} must hold names and their values; {advice}")
    return values


def _read(path: Path, form: str, advice: str) -> Any:
    largest, parse = (_LARGEST, parse_json) if form == "JSON" else (_LARGEST_YAML, parse_yaml)
    try:
        with path.open("rb") as file:
            content = file.read(largest + 1)
        if len(content) > largest:
            raise ValueError(f"it is larger than {largest >> 20} MiB")
        return parse(content.decode("utf-8-sig"))  # editors of Windows begin with a mark
    except OSError as error:
        raise QuaclrsError(f"{path} cannot be read ({error.strerror}); {advice}") from error
    except ValueError as error:
        raise QuaclrsError(f"{path} cannot be read as {form} ({first_line_of(error)}); {advice}") from error
