"""Spoken words as background: which are taken of Tux Paint's stamps, and where they go."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_builder.__main__ import main


@pytest.fixture
def stamps(tmp_path: Path) -> Path:
    """Words in English (no suffix), French and Brazilian Portuguese, too few in Dutch, and sounds that are no words."""
    for number in range(24):
        folder = tmp_path / "stamps" / ("animals" if number % 2 else "town")
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"s{number:02}_desc.ogg", f"s{number:02}_desc_fr.ogg", f"s{number:02}_desc_pt_BR.ogg"]
        names += [f"s{number:02}_desc_nl.ogg"] * (number < 5) + [f"s{number:02}.ogg", f"s{number:02}.png"]
        for name in names:
            (folder / name).write_bytes(name.encode())
    return tmp_path / "stamps"


def test_twelve_words_of_every_language_with_as_many_are_copied(stamps, tmp_path, capsys) -> None:
    assert main(["words", "--stamps", str(stamps), "--output", str(tmp_path / "words")]) == 0
    found = {file.name: file.read_bytes() for file in (tmp_path / "words").iterdir()}
    languages = [name.split("-")[0] for name in found]
    assert {language: languages.count(language) for language in languages} == {"en": 12, "fr": 12, "pt_BR": 12}
    assert all(name.split("-")[1].encode() == content for name, content in found.items())
    assert capsys.readouterr().out == f"{tmp_path / 'words'}: 36 words in 3 languages\n"


def test_a_folder_a_language_makes_each_a_kind(stamps, tmp_path) -> None:
    assert main(["words", "--stamps", str(stamps), "--by-language", "--output", str(tmp_path / "words")]) == 0
    assert {folder.name: len(list(folder.iterdir())) for folder in (tmp_path / "words").iterdir()} == {
        "en": 12, "fr": 12, "pt_BR": 12,
    }  # fmt: skip


def test_a_folder_without_words_and_one_that_is_not_there_are_refused_and_nothing_is_written(tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    for folder, words in (("empty", "holds no spoken words"), ("nowhere", "is not a folder; unpack")):
        assert main(["words", "--stamps", str(tmp_path / folder), "--output", str(tmp_path / "words")]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "words").exists()
