"""The paper's tables as data: every figure as printed, and which training each of ours is measured on.

A table is a file of `configs/paper/tables`; a recipe, from which a training begins, is a file of `configs/paper`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from quaclrs.errors import QuaclrsError

from ..runs.options import read_options_file

CONFIGS = Path(__file__).parents[1] / "configs" / "paper"

#: Tables of supervised training: section 5.1 and appendix A.1.
SUPERVISED_TABLES = ("table2", *(f"table{number}" for number in range(5, 15)))

#: Section 5.2, appendix A.2, and the paper's answer to its research question 4.
SSL_TABLES = ("table3", "table4", "table15", "table16", "table17", "table18", "combinations")

#: Name -> the tables that it stands for.
GROUPS = {"all-supervised": SUPERVISED_TABLES, "all-ssl": SSL_TABLES}
TABLE_NAMES = (*SUPERVISED_TABLES, *SSL_TABLES, *GROUPS)


@dataclass(frozen=True)
class Training:
    """One training; every fold and seed of it is a run.

    Attributes:
        recipe: a file of `configs/paper`, without its ending.
        options: that set it apart from others of the recipe, as sorted pairs (name, value).
    """

    recipe: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def backbone(self) -> str | None:
        """The backbone that the table names; None where it leaves that to the command."""
        return dict(self.options).get("backbone")

    @property
    def is_self_supervised(self) -> bool:
        return self.recipe in ("ssl", "imagenet")

    @property
    def from_pretrained(self) -> bool:
        """True if the recipe begins with ImageNet weights."""
        return self.recipe not in ("scratch", "ssl")


#: Beside the self-supervised methods: a network that was given the labels (clips fill up as in theirs), and the frozen
#: ImageNet encoder.
SUPERVISED = Training("scratch", (("pad_mode", "repeat"),))
IMAGENET = Training("imagenet")


@dataclass(frozen=True)
class Column:
    """Measure of a column.

    Attributes:
        heading: as printed.
        value: what is taken of each run, a key of `cells.VALUES`.
        of: recipe of the runs that it measures.
        run: options of these runs, beside the table's and the row's.
        against: recipe of the runs that a difference or a ratio compares them with, fold by fold.
        against_run: options of those, above the row's.
        show: `mean`, `rank`, `range` or `deviation` of the values over folds and seeds.
        fold: the one fold that a column of a per-fold table is about.
    """

    heading: str
    value: str
    of: str = "ssl"
    run: Mapping[str, Any] = field(default_factory=dict)
    against: str | None = None
    against_run: Mapping[str, Any] = field(default_factory=dict)
    show: str = "mean"
    fold: int | None = None


@dataclass(frozen=True)
class Row:
    """A row under the name that the paper prints.

    Attributes:
        name: as printed.
        figures: one a column, character for character.
        run: options of the runs that it measures.
        label: the class that a row of F1-scores is about.
        average: whether it measures nothing, but averages the other rows.
    """

    name: str
    figures: tuple[str, ...]
    run: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    average: bool = False


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        name: `table2` and so on, or `combinations`.
        title: its caption.
        columns: without the first, whose heading is `row_heading`.
        rows: in the paper's order.
        notes: what the paper leaves open or contradicts, and how ours is measured.
        footnote: the paper's own.
        epochs, folds, seeds: of the runs, where the command names none; the recipe's epochs and all folds without.
        run: options of all runs.
        baselines: whether the controls, k-NN, time and memory belong beside it.
        confusion_panel: whether the confusion matrices of its methods are drawn (the paper's figure 7).
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    footnote: str | None = None
    row_heading: str = "Architecture"
    epochs: int | None = None
    folds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0,)
    run: Mapping[str, Any] = field(default_factory=dict)
    baselines: bool = False
    confusion_panel: bool = False

    @property
    def is_self_supervised(self) -> bool:
        return self.name in SSL_TABLES

    @property
    def backbones(self) -> tuple[str, ...]:
        """Backbones of its rows, each once; none where the command names the backbone."""
        return tuple(dict.fromkeys(row.run["backbone"] for row in self.rows if "backbone" in row.run))

    def training(self, row: Row, column: Column) -> Training:
        """The training whose runs fill a cell."""
        return Training(column.of, tuple(sorted({**self.run, **column.run, **row.run}.items())))

    def counterpart(self, row: Row, column: Column) -> Training:
        """The training that those runs are compared with; themselves where there is none."""
        if column.against is None:
            return self.training(row, column)
        return Training(column.against, tuple(sorted({**self.run, **row.run, **column.against_run}.items())))

    def trainings(self, backbones: Iterable[str]) -> dict[Training, str]:
        """List the trainings that need no other backbone, each once, with the name under which the table prints it."""
        # A column against another backbone (Table 14's against MobileNet) does not make that one run uninvited.
        invited, named = {None, *backbones}, dict[Training, str]()
        for row in self.rows:
            for column in self.columns if not row.average else ():
                for training in (self.training(row, column), self.counterpart(row, column)):
                    if training.backbone in invited:
                        named.setdefault(training, column.heading if column.run else row.name)
        return named


def select_tables(name: str) -> list[PaperTable]:
    """The table of that name, or those of the group; `QuaclrsError` with the choices for another name."""
    if name not in TABLE_NAMES:
        raise QuaclrsError(f"unknown table {name!r}; choose {', '.join(TABLE_NAMES[:-1])} or {TABLE_NAMES[-1]}")
    return [load_table(table) for table in GROUPS.get(name, (name,))]


def load_table(name: str) -> PaperTable:
    """Read `configs/paper/tables/NAME.yaml`."""
    table: dict[str, Any] = yaml.safe_load((CONFIGS / "tables" / f"{name}.yaml").read_text(encoding="utf-8"))
    table["columns"] = [Column(**column) for column in table["columns"]]
    table["rows"] = [Row(**{**row, "figures": tuple(row["figures"])}) for row in table["rows"]]
    lists: dict[str, Any] = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
    return PaperTable(name, **{**table, **lists})


def select_backbones(tables: Sequence[PaperTable], names: Sequence[str] | None) -> list[str]:
    """The backbones to run, in the order of the tables; all of them without names.

    Raises:
        QuaclrsError: a name is in none of the supervised tables, or several are for self-supervised ones.
    """
    if tables[0].is_self_supervised:
        if names and len(names) > 1:
            raise QuaclrsError(f"--backbone: {tables[0].name} compares methods with one backbone; give one")
        return list(names or [read_options_file(CONFIGS / "ssl.yaml")["backbone"]])
    known = list(dict.fromkeys(backbone for table in tables for backbone in table.backbones))
    unknown = [name for name in names or () if name not in known]
    if unknown:
        where = f"no row of {' or '.join(table.name for table in tables)}"
        raise QuaclrsError(f"--backbones: {unknown[0]} is {where}; choose {', '.join(known)}")
    return [backbone for backbone in known if names is None or backbone in names]
