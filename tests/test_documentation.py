"""README and pages: what they show can be typed, their links lead somewhere."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from docs.command_pages import find_parsers

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """Code of a language in a page, without its indentation."""
    return [
        re.sub(f"^{indent}", "", code, flags=re.MULTILINE)
        for indent, kind, code in _BLOCK.findall(page.read_text(encoding="utf-8"))
        if kind == language
    ]


def commands(page: Path) -> Iterator[list[str]]:
    """Words of every command in a page; `accelerate launch` and its options become `python`."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            for command in line.split(" && "):
                words = shlex.split(command, comments=True)
                words = words[: words.index(">")] if ">" in words else words
                words = [word for word in words if not re.fullmatch(r"[A-Z_]+=.*", word)]
                if words[:2] == ["accelerate", "launch"]:
                    words = ["python", *words[words.index("-m") :]]
                yield words


def test_every_option_that_a_page_shows_is_one_of_its_command():
    parsers = dict(find_parsers())
    seen, wrong = set(), []
    for page in PAGES:
        for words in commands(page):
            command = next((c for c in parsers if words[: len(c.split())] == c.split()), None)
            if command is None:
                if words[:1] == ["quaclrs"] or "".join(words[2:3]).startswith(("training.", "dataset_builder")):
                    wrong.append((page.name, " ".join(words), "no such command"))
                continue
            seen.add(command)
            wrong += [(page.name, " ".join(words), word) for word in unknown_options(parsers[command], words)]
    assert wrong == []
    assert {"quaclrs predict", "python -m training.train_supervised", "python -m dataset_builder build"} <= seen


def unknown_options(parser: argparse.ArgumentParser, words: list[str]) -> list[str]:
    """Words that begin as options do and are none of a parser's, or have a value that it does not allow."""
    known = parser._option_string_actions
    unknown = []
    for word, value in zip(words, [*words[1:], ""], strict=True):
        option, _, joined = word.partition("=")
        if not option.startswith("--") or option == "--":
            continue
        if option not in known:
            unknown.append(word)
        elif known[option].choices and (joined or value) not in map(str, known[option].choices):
            unknown.append(f"{word} {value}")
    return unknown


def test_every_file_that_a_page_links_to_exists():
    """Anchors and the rest are MkDocs's to check; the README is read without it."""
    missing = [
        (page.name, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
        if "://" not in target
        and "reference/commands/" not in target
        and not target.startswith("commands/")
        and not (page.parent / target).exists()
    ]
    assert missing == []


def test_every_picture_has_words_for_those_who_do_not_see_it():
    pictures = [(p.name, alt) for p in PAGES for alt in re.findall(r"!\[(.*?)\]\(", p.read_text(encoding="utf-8"))]
    assert len(pictures) >= 6
    assert [name for name, alt in pictures if len(alt.split()) < 3] == []


def test_the_site_is_built_without_a_warning(tmp_path, monkeypatch):
    pytest.importorskip("mkdocstrings", reason="mkdocs and mkdocstrings are not installed: the site is not built")
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    option = (tmp_path / "reference/commands/quaclrs-predict/index.html").read_text(encoding="utf-8")
    assert "--min-score" in option and "below this best score" in option
    index = json.loads((tmp_path / "search/search_index.json").read_text(encoding="utf-8"))
    assert any("AudioClassifier" in entry["title"] for entry in index["docs"])


def test_the_version_is_the_same_wherever_it_stands():
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    newest = re.findall(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    assert newest == version
