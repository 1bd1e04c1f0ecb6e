"""Options as dataclass fields: the command line, the YAML file and what is saved beside a run are one and the same."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import shlex
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn, TypeVar, get_args, get_type_hints

from transformers import HfArgumentParser

from quaclrs.errors import CommandParser, QuaclrsError
from quaclrs.text_files import read_mapping

Config = TypeVar("Config")


def option(
    default: Any,
    text: str,
    choices: Sequence[str] = (),
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> Any:
    """A dataclass field: its default, its help text, and what `check_options` allows.

    Args:
        default: None where something else settles what is left open.
        text: help of the command-line option.
        choices: the strings it may be.
        above, at_least, below, at_most: bounds of a number.
    """
    bounds = {"above": above, "at_least": at_least, "below": below, "at_most": at_most}
    limits = {name: bound for name, bound in bounds.items() if bound is not None}
    # argparse formats help with %.
    return field(
        default=default, metadata={"help": text.replace("%", "%%"), "choices_of": tuple(choices), "limits": limits}
    )


def flag_of(name: str) -> str:
    """A field's name as it is typed."""
    return f"--{name.replace('_', '-')}"


def refuse_missing(config: Any, names: Sequence[str]) -> None:
    """Raise a `QuaclrsError` for the first of these options that was not given."""
    for name in names:
        if not getattr(config, name):
            raise QuaclrsError(f"{flag_of(name)} is missing; pass it or set {name} in --config FILE")


def check_options(config: Any) -> None:
    """Check every option of a config against what its field allows; None is left to be settled.

    Raises:
        QuaclrsError: a value of the wrong type, out of bounds or none of its choices.
    """
    hints = get_type_hints(type(config))
    for entry in dataclasses.fields(config):
        value, kinds = getattr(config, entry.name), {hints[entry.name], *get_args(hints[entry.name])}
        if value is None and NoneType in kinds:
            continue
        choices, limits = entry.metadata["choices_of"], entry.metadata["limits"]
        if choices and value not in choices:
            raise QuaclrsError(f"{flag_of(entry.name)} is {value!r}; choose {', '.join(choices)}")
        if bool in kinds and not isinstance(value, bool):
            raise QuaclrsError(f"{flag_of(entry.name)} is {value!r}; it must be true or false")
        if str in kinds and not isinstance(value, str):
            raise QuaclrsError(f"{flag_of(entry.name)} is {value!r}; it must be a name or a path")
        if limits:
            _check_number(entry.name, value, limits, whole=int in kinds)


def _check_number(name: str, value: Any, limits: dict[str, float], whole: bool) -> None:
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        raise QuaclrsError(f"{flag_of(name)} is {value!r}; it must be a {'whole ' * whole}number")
    holds = {
        "above": lambda bound: value > bound,
        "at_least": lambda bound: value >= bound,
        "below": lambda bound: value < bound,
        "at_most": lambda bound: value <= bound,
    }
    if not all(holds[limit](bound) for limit, bound in limits.items()):
        allowed = " and ".join(f"{limit.replace('_', ' ')} {bound:g}" for limit, bound in limits.items())
        raise QuaclrsError(f"{flag_of(name)} is {value}; it must be {allowed}")


def parse_numbers(flag: str, text: str, low: int = 0) -> list[int]:
    """The different whole numbers of a list such as `1,2,3`, in its order.

    Args:
        flag: of the option, for the message.
        text: numbers with commas between.
        low: the least that is allowed.

    Raises:
        QuaclrsError: it is not such a list.
    """
    parts = [part.strip() for part in text.split(",")]
    # isdecimal also takes digits of other scripts, as int does.
    if not all(part.isdecimal() and int(part) >= low for part in parts) or len(set(parts)) != len(parts):
        raise QuaclrsError(f"{flag} is {text!r}; give different numbers with commas between, such as 1,2")
    return [int(part) for part in parts]


class _ConfigParser(CommandParser, HfArgumentParser):
    def add_argument(self, *names: Any, choices_of: Any = None, limits: Any = None, **settings: Any) -> argparse.Action:
        # A field's metadata arrives here as it is; bounds are checked by the config, whichever way values reach it.
        return super().add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        raise QuaclrsError(f"{message} (see --help)")


def parse_config(config_class: type[Config], arguments: list[str] | None = None) -> Config:
    """Read options from the command line and, below them, from the YAML file that `--config` names.

    Raises:
        QuaclrsError: an unknown option or key, a value of the wrong type, or a file that is not a YAML mapping.
    """
    return _parse(_parser_of(config_class), config_class, arguments)[0]


def parse_run(config_class: type[Config], arguments: list[str] | None = None) -> tuple[Config, bool]:
    """`parse_config` of one run, and whether `--dry-run` asks what it would take."""
    parser = _parser_of(config_class)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print clips, steps, memory and how to launch it on 8 and 16 accelerators; train nothing, write nothing",
    )
    config, others = _parse(parser, config_class, arguments)
    return config, others["dry_run"]


def _parser_of(config_class: type[Config]) -> _ConfigParser:
    parser = _ConfigParser(config_class, description=config_class.__doc__)  # type: ignore[arg-type]
    parser.add_argument("--config", metavar="FILE", help="YAML file of options; the command line wins over it")
    return parser


def _parse(
    parser: _ConfigParser, config_class: type[Config], arguments: list[str] | None
) -> tuple[Config, dict[str, Any]]:
    """The config, and what the parser has beside its options."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config")
    file = first.parse_known_args(arguments)[0].config
    names = {entry.name for entry in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    if file:
        values = read_options_file(Path(file))
        unknown = sorted(set(values) - names)
        if unknown:
            raise QuaclrsError(f"--config {file}: unknown option {', '.join(unknown)}; see --help for the names")
        parser.set_defaults(**values)
    options = vars(parser.parse_args(arguments))
    others = {name: options.pop(name) for name in options.keys() - names}
    return config_class(**options), others


def command_line(module: str, config: Any, ignored: frozenset[str] = frozenset({"resume", "overwrite"})) -> str:
    """The shortest command that gives the same config: without what is default, or settled by the other options.

    Args:
        module: what to run, with what stands before it.
        config: of a dataclass that checks and settles its options itself.
        ignored: options that do not belong to the command.
    """
    kept = {
        entry.name: getattr(config, entry.name)
        for entry in dataclasses.fields(config)
        if getattr(config, entry.name) != entry.default
    }
    for name in list(kept):
        fewer = {other: value for other, value in kept.items() if other != name}
        with contextlib.suppress(QuaclrsError):
            if type(config)(**fewer) == config:
                kept = fewer
    words = [
        flag_of(name) if value is True else f"{flag_of(name)} {shlex.quote(str(value))}"
        for name, value in kept.items()
        if name not in ignored
    ]
    return " ".join([module, *words])


def read_options_file(file: Path) -> dict[str, Any]:
    """Options of a YAML file, and below them those of the file that its key `base` names, relative to itself.

    Raises:
        QuaclrsError: a file is not there, is not a YAML mapping, or is its own base.
    """
    return _read_options(file, ())


def _read_options(file: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if file.resolve() in above:
        raise QuaclrsError(f"--config {file} is its own base; take the key base out of one of the files")
    values = read_mapping(file, "give --config a file of one `option: value` a line")
    base = values.pop("base", None)
    if base is None:
        return values
    return {**_read_options(file.parent / str(base), (*above, file.resolve())), **values}
