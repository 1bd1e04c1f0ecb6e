"""What the README shows happens when it is typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def readme_blocks() -> list[tuple[str, str]]:
    """Language and content of every block, in order."""
    return _BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


def bash_commands(words: str) -> list[list[str]]:
    """Commands of the bash block that holds some words, but those that install."""
    (block,) = (code for language, code in readme_blocks() if language == "bash" and words in code)
    lines = [part.strip() for line in block.replace("\\\n", " ").splitlines() for part in line.split("&&")]
    split = [shlex.split(line, comments=True) for line in lines]
    return [command for command in split if command and command[0] != "pip"]


def test_the_readme_is_short_enough_to_be_read():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert len(text.split()) <= 900


def test_the_first_command_prints_what_stands_below_it(capsys, monkeypatch):
    from quaclrs.cli import main

    monkeypatch.chdir(ROOT)
    (command,) = bash_commands("pip install . &&")
    assert main(command[1:]) == 0
    first = next(code for language, code in readme_blocks() if not language)
    assert capsys.readouterr().out == first


def test_the_python_block_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    (code,) = (code for language, code in readme_blocks() if language == "python")
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    answer = names["classifier"].predict("spaces/examples/dog_bark.ogg", top_k=3)
    score, label = re.search(r'"label": "(\w+)", "score": ([\d.]+)', code).groups()[::-1]
    assert (answer[0]["label"], f"{answer[0]['score']:.2f}") == (label, score)


def test_what_the_readme_installs_are_extras_of_the_package():
    extras = {extra for _, code in readme_blocks() for extra in re.findall(r"\.\[([\w,]+)\]", code)}
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert extras and all(re.search(rf"^{extra} = ", pyproject, re.MULTILINE) for extra in extras)


def test_the_blocks_of_learning_and_annotating_run_as_they_are_pasted(tmp_path, monkeypatch):
    from quaclrs.cli import main

    monkeypatch.chdir(tmp_path)
    for folder in ("spaces", "examples"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for command in [*bash_commands("quaclrs learn"), *bash_commands("quaclrs annotate")]:
        if command != ["quaclrs", "listen"]:  # hears until Ctrl-C
            assert main(command[1:]) == 0, command
    assert (tmp_path / "my_model" / "report.html").is_file() and (tmp_path / "summary.html").is_file()
    assert "dog_bark" in (tmp_path / "archive.csv").read_text()


@pytest.mark.weekly
@pytest.mark.parametrize("words", ["quaclrs explain", "training.train_ssl"])
def test_the_longer_blocks_run_as_they_are_pasted(tmp_path, words):
    (tmp_path / "spaces").symlink_to(ROOT / "spaces")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    for command in bash_commands(words):
        program = [sys.executable, "-m", "quaclrs.cli"] if command[0] == "quaclrs" else [sys.executable]
        done = subprocess.run([*program, *command[1:]], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    made = ["why.png"] if words == "quaclrs explain" else ["runs/fold1/metrics.json", "runs/simclr/metrics.json"]
    assert all((tmp_path / name).is_file() for name in made)
