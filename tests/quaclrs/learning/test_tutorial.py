"""The tutorial, typed line by line with sounds that this test makes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import soundfile
from made_sounds import RATE, sound_of, write_sounds

from quaclrs.cli import main

TUTORIAL = Path(__file__).parents[3] / "docs" / "learn.md"


def test_every_command_of_the_tutorial_works_in_its_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_sounds(tmp_path / "sounds", 5)
    (tmp_path / "recordings").mkdir()
    for name, seed in (("new.wav", 70), ("night.wav", 71), ("recordings/walk.wav", 72)):
        soundfile.write(tmp_path / name, sound_of("hum", seed, 9.0), RATE)
    commands = [
        line
        for block in re.findall(r"```bash\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(commands) >= 6
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "quaclrs"
        assert main(arguments) == 0, command
    told = capsys.readouterr().out
    assert "new.wav: hum" in told
    assert "recordings/walk.wav: " in told
    assert (tmp_path / "my_model" / "report.html").is_file()
