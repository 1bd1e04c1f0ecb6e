"""The map of the code, measured from its imports: `python docs/draw_architecture.py` draws `pictures/architecture.png`.

`LAYERS` is the rule: a room may import rooms of the layers below its own. A test holds the code to it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Package -> its layers, the lowest first; a room is a folder, or a file at the package's top level.
LAYERS: Mapping[str, Sequence[Sequence[str]]] = {
    "quaclrs": (
        ("standard_error",),
        ("errors", "labels", "code_version", "neighbours", "default_model"),
        ("extras", "files", "text_files"),
        ("locks",),
        ("folds", "grouping", "hub", "models", "dataset_checks"),
        ("audio", "saved_model"),
        ("data", "auto"),
        ("augment",),
        ("transforms",),
        ("inference", "ssl"),
        ("evaluation",),
        ("archive", "learning", "live"),
        ("commands",),
        ("cli",),
        ("annotate",),
    ),
    "dataset_builder": (
        ("sources",),
        ("recordings", "sample"),
        ("table",),
        ("card",),
        ("urbansound13", "push", "stopping"),
        ("__main__",),
    ),
    "training": (
        ("runs", "configs"),
        ("clips", "weights"),
        ("supervised", "ssl"),
        ("paper", "questions"),
        ("train_supervised", "train_ssl", "imagenet_weights"),
        ("compare", "cross_validate", "release", "label_efficiency", "reproduce"),
        ("push", "quickstart", "background_embeddings"),
    ),
    "spaces": (("analysis", "app", "own_sounds", "push"),),
    "benchmarks": (("benchmarks",),),
}

#: Packages that each package may import beside itself.
MAY_IMPORT: Mapping[str, frozenset[str]] = {
    "quaclrs": frozenset(),
    "dataset_builder": frozenset({"quaclrs"}),
    "training": frozenset({"quaclrs"}),
    "spaces": frozenset({"quaclrs"}),
    "benchmarks": frozenset(LAYERS),
}


@dataclass(frozen=True)
class Arrow:
    """An import of one module of the project by another, both by dotted names."""

    file: Path
    line: int
    importer: str
    imported: str


def find_arrows(package: str) -> Iterator[Arrow]:
    """Imports of the project's own modules in a package, but for those that serve type checkers only."""
    for file in sorted((ROOT / package).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        base = parts[:-1]  # what a single leading dot means
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in _run_nodes(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = ".".join(base[: len(base) - node.level + 1]) if node.level else ""
                source = ".".join(filter(None, (above, node.module)))
                names = [f"{source}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                if name.split(".")[0] in LAYERS and (imported := _module_of(name)):
                    yield Arrow(file, node.lineno, module, imported)


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _run_nodes(node)


def _module_of(name: str) -> str | None:
    """The module or package that a dotted name is, or is defined in."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        if path.is_dir() or path.with_suffix(".py").is_file():
            return ".".join(parts[:length])
    return None


def layer_of(module: str) -> int | None:
    """The layer of a module within its package; None for the package itself, which loads names lazily."""
    package, *rest = module.split(".")
    if not rest:
        return None
    for height, rooms in enumerate(LAYERS[package]):
        if rest[0] in rooms:
            return height
    return 0 if len(LAYERS[package]) == 1 else -1


def wrong_arrows() -> list[str]:
    """Imports that go against `LAYERS` or `MAY_IMPORT`, each as `FILE:LINE: reason`; rooms without a layer too."""
    found = []
    for package in LAYERS:
        for arrow in find_arrows(package):
            place = f"{arrow.file.relative_to(ROOT)}:{arrow.line}"
            other = arrow.imported.split(".")[0]
            if other != package:
                if other not in MAY_IMPORT[package]:
                    found.append(f"{place}: {package} imports {other}")
                continue
            own, below = layer_of(arrow.importer), layer_of(arrow.imported)
            if -1 in (own, below):
                found.append(f"{place}: {arrow.importer} or {arrow.imported} is a room without a layer")
            elif own is not None and below is not None:
                same_room = arrow.importer.split(".")[1] == arrow.imported.split(".")[1]
                if below > own or (below == own and not same_room and len(LAYERS[package]) > 1):
                    found.append(f"{place}: {arrow.importer} imports {arrow.imported}, which does not lie below it")
    return found


def lines_of(package: str, room: str) -> int:
    """Lines of Python in a room."""
    path = ROOT / package / room
    files = list(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)


def draw(output: Path) -> None:
    """Draw the packages as houses of layers, each room with its lines of code."""
    from matplotlib.patches import FancyBboxPatch

    from quaclrs.evaluation.figures.style import BLUE, GREEN, VERMILION, empty_figure, save_figure

    houses = [("dataset_builder", 0.0, 3.2), ("quaclrs", 3.8, 4.8), ("training", 9.2, 5.2)]
    colours = {"dataset_builder": GREEN, "quaclrs": BLUE, "training": VERMILION}
    figure = empty_figure(14, 7, "constrained")
    axes = figure.add_subplot()
    for package, left, width in houses:
        layers = LAYERS[package]
        for height, rooms in enumerate(layers):
            share = width / len(rooms)
            for place, room in enumerate(rooms):
                corner = (left + place * share + 0.05, height + 0.08)
                size = (share - 0.1, 0.84)
                style = {"boxstyle": "round,pad=0,rounding_size=0.08", "alpha": 0.35}
                axes.add_patch(FancyBboxPatch(corner, *size, color=colours[package], **style))
                lines = lines_of(package, room) if room != "configs" else 0
                text = room if not lines else f"{room}\n{lines:,} lines"
                axes.text(corner[0] + size[0] / 2, corner[1] + 0.42, text, ha="center", va="center", fontsize=8)
        axes.text(left + width / 2, len(layers) + 0.15, package, ha="center", fontsize=13, weight="bold")
    for start, end in (((3.2, 0.5), (3.8, 0.5)), ((9.2, 0.5), (8.6, 0.5))):
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "linewidth": 2})
    axes.set_xlim(-0.1, 14.5)
    axes.set_ylim(-0.5, max(map(len, LAYERS.values())) + 0.8)
    rule = "A room imports only rooms below it. Both wings import the library, and never each other."
    axes.text(7.2, -0.35, rule, ha="center", fontsize=10)
    axes.axis("off")
    save_figure(figure, output)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    draw(ROOT / "docs" / "pictures" / "architecture.png")
