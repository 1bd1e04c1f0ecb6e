"""Caches on disk are made anew where the code behind them has changed, and kept where other code has."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import quaclrs
from docs.draw_architecture import ROOT, find_arrows
from quaclrs.code_version import DECODING, EMBEDDING, code_version, files_of

PACKAGE = Path(quaclrs.__file__).parent

#: What these modules import that changes no figure.
_WITHOUT_EFFECT = {
    "quaclrs",
    "quaclrs.auto",
    "quaclrs.code_version",
    "quaclrs.data",
    "quaclrs.errors",
    "quaclrs.files",
    "quaclrs.extras",
    "quaclrs.standard_error",
}


@pytest.mark.parametrize(
    ("file", "decoding", "embedding"),
    [
        ("audio/recording.py", True, True),
        ("models/backbones.py", False, True),
        ("models/log_mel.py", False, True),
        ("transforms.py", False, True),
        ("commands/info.py", False, False),
    ],
)
def test_a_change_of_source_is_a_new_version_of_what_it_takes_part_in(file, decoding, embedding, tmp_path):
    changed = tmp_path / "quaclrs"
    shutil.copytree(PACKAGE, changed, ignore=shutil.ignore_patterns("default_model", "__pycache__"))
    assert code_version(EMBEDDING, changed) == code_version(EMBEDDING)
    source = (changed / file).read_text()
    (changed / file).write_text(f"{source}\n")
    code_version.cache_clear()
    assert (code_version(DECODING, changed) != code_version(DECODING)) == decoding
    assert (code_version(EMBEDDING, changed) != code_version(EMBEDDING)) == embedding


@pytest.mark.parametrize("library", ["timm", "torch", "soxr"])
def test_another_version_of_a_library_is_another_version(library, monkeypatch):
    before = code_version(EMBEDDING)
    monkeypatch.setattr("quaclrs.code_version.version", lambda name: "99" if name == library else "1")
    code_version.cache_clear()
    changed = code_version(EMBEDDING)
    monkeypatch.undo()
    code_version.cache_clear()
    assert changed != before == code_version(EMBEDDING)


@pytest.mark.parametrize("parts", [DECODING, EMBEDDING])
def test_what_takes_part_imports_nothing_that_does_not(parts):
    files = files_of(parts)
    imported = {arrow.imported for arrow in find_arrows("quaclrs") if arrow.file in files} - _WITHOUT_EFFECT
    modules = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files}
    assert files and imported <= modules
