"""Pages of the commands' options, read from their parsers whenever the site is built (a hook of MkDocs)."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

#: What a reader types -> the module whose `main` reads it. Each subcommand has a page of its own.
PROGRAMS = {
    "quaclrs": "quaclrs.cli",
    "python -m dataset_builder": "dataset_builder.__main__",
    "python -m training.reproduce page": "training.paper.page",
    "python -m training.reproduce questions": "training.questions.command",
    **{
        f"python -m training.{name}": f"training.{name}"
        for name in (
            *("train_supervised", "train_ssl", "cross_validate", "compare", "label_efficiency", "reproduce"),
            *("release", "push", "imagenet_weights", "quickstart"),
        )
    },
}


#: Path in the site -> Markdown of a command's page.
_pages: dict[str, str] = {}


class _Found(Exception):
    """Carries the parser that was asked for its help."""


def find_parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command as it is typed, with the parser that its `--help` would print."""
    for program, module in PROGRAMS.items():
        parser = _parser_of(module)
        subcommands = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        if not subcommands:
            yield program, parser
        for action in subcommands:
            said = {choice.dest: choice.help for choice in action._choices_actions}
            for name, subparser in action.choices.items():
                subparser.description = subparser.description or f"{said[name]}.".capitalize()
                yield f"{program} {name}", subparser


def _parser_of(module: str) -> argparse.ArgumentParser:
    def stop(parser: argparse.ArgumentParser, file: object = None) -> None:
        raise _Found(parser)

    with patch.object(argparse.ArgumentParser, "print_help", stop):
        try:
            importlib.import_module(module).main(["--help"])
        except _Found as found:
            return found.args[0]
    raise RuntimeError(f"{module} has no --help")


def command_page(command: str, parser: argparse.ArgumentParser) -> str:
    """Markdown page of a command: its description, and a table a group of options."""
    lines = [f"# {command}", "", (parser.description or "").strip(), "", "```", _usage(command, parser), "```", ""]
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS and a.dest != "help"]
        if actions:
            title = (group.title or "options").removeprefix("positional ").capitalize()
            lines += [f"## {title}", "", "| | |", "|---|---|", *map(_row, actions), ""]
    return "\n".join(lines)


def _usage(command: str, parser: argparse.ArgumentParser) -> str:
    """The line that is typed: what must be there by name, and the rest as `[options]`."""
    needed = []
    for action in parser._actions:
        if not action.option_strings:
            needed.append(parser._get_formatter()._format_args(action, action.metavar or action.dest))
        elif action.required:
            needed.append(_spelling(action))
    return " ".join([command, "[options]", *needed])


def _row(action: argparse.Action) -> str:
    said = action.help % {**vars(action), "prog": ""} if action.help else ""
    names = " ".join(f"`{part}`" for part in _spelling(action).split(" "))
    return f"| {names} | {said} |".replace("(default: )", "").replace("  ", " ")


def _spelling(action: argparse.Action) -> str:
    """An option as it is typed: with dashes, and what follows it."""
    names = ", ".join(sorted({name.replace("_", "-") for name in action.option_strings}))
    if action.nargs == 0:
        return names
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    return f"{names} {choices or action.metavar or action.dest.upper()}".strip()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Read the parsers, and list their pages at the end of the reference."""
    for command, parser in find_parsers():
        name = command.removeprefix("python -m ").translate(str.maketrans(" ._", "---"))
        _pages[f"reference/commands/{name}.md"] = command_page(command, parser)
    (reference,) = (entry["Reference"] for entry in config.nav or () if "Reference" in entry)
    reference.append({"Commands": list(_pages)})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to the site."""
    from mkdocs.structure.files import File

    for path, page in _pages.items():
        files.append(File.generated(config, path, content=page))
    return files
