"""The paper's tables as data: every figure as printed, and what each column measures of which training.

A table is a file of `configs/paper/tables`; a training of a backbone is `configs/paper/TRAINING/BACKBONE.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from quaclrs.errors import QuaclrsError

CONFIGS = Path(__file__).parents[1] / "configs" / "paper"

#: Tables of supervised training: section 5.1 and appendix A.1.
SUPERVISED_TABLES = ("table2", *(f"table{number}" for number in range(5, 15)))
ALL_SUPERVISED = "all-supervised"


@dataclass(frozen=True)
class Experiment:
    """One training of one backbone; every fold and seed of it is a run.

    Attributes:
        training: `finetune`, `scratch`, `linear_probe` or `mixed_precision`: a folder of configs.
        backbone: a file in that folder, without its ending.
    """

    training: str
    backbone: str

    @property
    def from_pretrained(self) -> bool:
        """Whether the recipe begins with ImageNet weights."""
        return self.training != "scratch"

    @property
    def config_file(self) -> Path:
        return CONFIGS / self.training / f"{self.backbone}.yaml"


@dataclass(frozen=True)
class Column:
    """What a column measures.

    Attributes:
        heading: as printed.
        value: what is taken of each run, a key of `cells.VALUES`.
        of: the training whose runs are measured.
        against: the training that a difference or a ratio compares them with, fold by fold.
        against_backbone: the backbone of that training; the row's own where absent.
        show: `mean`, `rank`, `range` or `deviation` of the values over folds and seeds.
        fold: the one fold that a column of a per-fold table is about.
    """

    heading: str
    value: str
    of: str
    against: str | None = None
    against_backbone: str | None = None
    show: str = "mean"
    fold: int | None = None

    def experiments(self, backbone: str) -> tuple[Experiment, ...]:
        """What must be trained to fill the cell of a backbone: the measured one first."""
        measured = Experiment(self.of, backbone)
        return (measured, Experiment(self.against, self.against_backbone or backbone)) if self.against else (measured,)


@dataclass(frozen=True)
class Row:
    """An architecture under the name that the paper prints; `backbone` is None in the row of averages."""

    architecture: str
    figures: tuple[str, ...]
    backbone: str | None = None


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        name: `table2` and so on.
        title: its caption.
        columns: without the first, which names the architecture.
        rows: in the paper's order; each has one figure a column, character for character.
        notes: what the paper leaves open or contradicts, and how ours is measured.
        footnote: the paper's own.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    footnote: str | None = None

    @property
    def backbones(self) -> tuple[str, ...]:
        return tuple(row.backbone for row in self.rows if row.backbone)

    def experiments(self, backbones: Iterable[str]) -> list[Experiment]:
        """What must be trained to fill the rows of these backbones, each once."""
        wanted = [b for b in self.backbones if b in set(backbones)]
        needed = (experiment for b in wanted for column in self.columns for experiment in column.experiments(b))
        # A column against another backbone (Table 14's against MobileNet) does not make that one run uninvited.
        return list(dict.fromkeys(experiment for experiment in needed if experiment.backbone in wanted))


def select_tables(name: str) -> list[PaperTable]:
    """The table of that name, or all supervised ones; `QuaclrsError` with the choices for another name."""
    if name == ALL_SUPERVISED:
        return [load_table(table) for table in SUPERVISED_TABLES]
    if name not in SUPERVISED_TABLES:
        raise QuaclrsError(f"unknown table {name!r}; choose {', '.join(SUPERVISED_TABLES)} or {ALL_SUPERVISED}")
    return [load_table(name)]


def load_table(name: str) -> PaperTable:
    """Read `configs/paper/tables/NAME.yaml`."""
    table = yaml.safe_load((CONFIGS / "tables" / f"{name}.yaml").read_text(encoding="utf-8"))
    columns = tuple(Column(**column) for column in table.pop("columns"))
    rows = tuple(Row(**{**row, "figures": tuple(row["figures"])}) for row in table.pop("rows"))
    return PaperTable(name=name, columns=columns, rows=rows, notes=tuple(table.pop("notes")), **table)


def select_backbones(tables: Sequence[PaperTable], names: Sequence[str] | None) -> list[str]:
    """The backbones to run, in the order of the tables; all of them without names.

    Raises:
        QuaclrsError: a name is in none of the tables.
    """
    known = list(dict.fromkeys(backbone for table in tables for backbone in table.backbones))
    unknown = [name for name in names or () if name not in known]
    if unknown:
        where = f"no row of {' or '.join(table.name for table in tables)}"
        raise QuaclrsError(f"--backbones: {unknown[0]} is {where}; choose {', '.join(known)}")
    return [backbone for backbone in known if names is None or backbone in names]
