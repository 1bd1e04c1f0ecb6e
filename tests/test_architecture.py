"""Arrows between packages and rooms: `docs/draw_architecture.py` says which may be, this holds the code to it."""

from __future__ import annotations

from pathlib import Path

from docs.draw_architecture import LAYERS, ROOT, find_arrows, layer_of, wrong_arrows


def test_every_import_points_to_a_room_below():
    assert wrong_arrows() == []


def test_imports_are_found_whether_they_are_written_with_dots_or_in_full():
    arrows = {(arrow.importer, arrow.imported) for arrow in find_arrows("training")}
    assert ("training.train_supervised", "training.runs.session") in arrows  # from .runs.session import Session
    assert ("training.runs.session", "quaclrs.transforms") in arrows  # from quaclrs.transforms import ClipTransform


def test_every_room_has_a_layer():
    for package, layers in LAYERS.items():
        folders = {p.parent.name for p in (ROOT / package).glob("*/__init__.py")}
        assert folders <= {room for layer in layers for room in layer}, package


def test_what_lies_above_is_told_from_what_lies_below():
    assert layer_of("quaclrs.errors") < layer_of("quaclrs.models.log_mel") < layer_of("quaclrs.evaluation.metrics")


def test_a_training_step_imports_no_card():
    for wing in ("supervised", "ssl"):
        reached, waiting = set(), [f"training.{wing}.step"]
        imports = {}
        for arrow in find_arrows("training"):
            imports.setdefault(arrow.importer, set()).add(arrow.imported)
        assert waiting[0] in imports
        while waiting:
            module = waiting.pop()
            reached.add(module)
            waiting += imports.get(module, set()) - reached
        assert not any(Path(module.replace(".", "/")).name.endswith("card") for module in reached), wing
