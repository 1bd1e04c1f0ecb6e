"""`python -m dataset_builder push`: check that a folder is a built data set and publish it, card included."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from quaclrs.dataset_checks import NEEDED, refuse_faulty_files
from quaclrs.errors import QuaclrsError, first_line_of
from quaclrs.hub import check_repo_id, push_folder
from quaclrs.text_files import parse_yaml

_BUILD = "build one with python -m dataset_builder build"


@dataclass(frozen=True)
class BuiltDataset:
    """Files that a built folder publishes.

    Attributes:
        name: `pretty_name` of the card.
        configs: names of the configs, the default one first.
        clips: rows of the default config.
        files: README.md, the Parquet files that its configs name and the pictures and files that its text shows,
            relative to the folder. Recordings that lie beside them are not among them.
    """

    name: str
    configs: tuple[str, ...]
    clips: int
    files: tuple[str, ...]


def add_push_command(commands: argparse._SubParsersAction) -> None:
    """Add `push` to the commands of `python -m dataset_builder`; `options.run(options)` runs it."""
    push = commands.add_parser("push", help="publish a built data set on the Hub")
    push.add_argument("--repo", required=True, metavar="NAMESPACE/NAME", help="repository; created if absent")
    push.add_argument("--private", action="store_true", help="only you, or your organisation, may read it")
    push.add_argument("folder", type=Path, metavar="DIR", help="folder that `build` or `sample` wrote")
    push.set_defaults(run=run_push)


def run_push(options: argparse.Namespace) -> int:
    """Publish `options.folder` as `options.repo` and print its address and how to load it."""
    check_repo_id(options.repo, "dataset")
    dataset = read_built_dataset(options.folder)
    pushed = push_folder(
        options.folder,
        options.repo,
        "dataset",
        files=dataset.files,
        stale_patterns=_stale_patterns(dataset.files),
        private=options.private,
        commit_message=f"{dataset.name}: {dataset.clips} clips",
    )
    removed = f", {len(pushed.deleted)} of the version before removed" if pushed.deleted else ""
    print(f"{pushed.url}: {dataset.clips} clips in {len(pushed.files)} files{removed}; commit {pushed.commit[:7]}")
    ready = f' or load_dataset("{options.repo}", "{dataset.configs[1]}")' if len(dataset.configs) > 1 else ""
    print(f'load it with load_dataset("{options.repo}"){ready}')
    return 0


def read_built_dataset(folder: Path) -> BuiltDataset:
    """Check a folder that `build` or `sample` wrote and list what it publishes.

    Raises:
        QuaclrsError: the folder or its README.md is missing, the card names no configs or files that are not there, a
            Parquet file is damaged or is none of the builder's, rows are faulty (see `refuse_faulty_files`), or the
            card shows a picture that is not there.
    """
    if not folder.is_dir():
        raise QuaclrsError(f"folder {folder} does not exist; {_BUILD}")
    card = folder / "README.md"
    if not card.is_file():
        raise QuaclrsError(f"{folder} holds no built data set (no README.md); {_BUILD}")
    try:
        text = card.read_text(encoding="utf-8")
        front_matter = re.match(r"---\s*\n(.*?)\n---\s*(?:\n|$)", text, re.DOTALL)
        header = parse_yaml(front_matter[1]) if front_matter else None
    except ValueError as error:
        raise QuaclrsError(f"{card} has no valid YAML at its top; {_BUILD}") from error
    header = header if isinstance(header, dict) else {}
    configs = header.get("configs")
    if not isinstance(configs, list) or not all(isinstance(c, dict) and c.get("config_name") for c in configs):
        raise QuaclrsError(f"{card} names no configs, so {folder} is not a built data set; {_BUILD}")
    default_first = sorted(configs, key=lambda config: not config.get("default", False))
    files_of = {str(config["config_name"]): _files_of_config(folder, config) for config in default_first}
    rows_of = {name: _count_rows(folder / name) for name in sorted(set().union(*files_of.values()))}
    names = list(files_of)
    rows = [folder / name for name in sorted(files_of[names[0]])]
    refuse_faulty_files(rows, str(folder), _told_features(card, header, names[0]))
    return BuiltDataset(
        name=str(header.get("pretty_name") or folder.resolve().name),
        configs=tuple(names),
        clips=sum(rows_of[name] for name in files_of[names[0]]),
        files=("README.md", *rows_of, *sorted(_files_shown(folder, text) - set(rows_of))),
    )


def _told_features(card: Path, header: dict[str, Any], config: str) -> Any:
    """Features of a config by the card's `dataset_info`; None where it has none."""
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    try:
        infos = DatasetInfosDict.from_dataset_card_data(DatasetCardData(**header))
    except Exception as error:  # whatever stands there
        raise QuaclrsError(f"{card} has no valid dataset_info ({first_line_of(error)}); {_BUILD}") from error
    return infos[config].features if config in infos else None


def _files_of_config(folder: Path, config: dict[str, Any]) -> set[str]:
    """The files that a config's globs match; each must match some."""
    name, found = config["config_name"], set()
    for pattern in _patterns(config.get("data_files")):
        if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            raise QuaclrsError(f"config {name} of {folder / 'README.md'} names {pattern}, outside the folder; {_BUILD}")
        matched = {path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file()}
        if not matched:
            raise QuaclrsError(f"config {name} names {pattern}, but {folder} has no such file; build it again")
        found |= matched
    if not found:
        raise QuaclrsError(f"config {name} of {folder / 'README.md'} names no data_files; {_BUILD}")
    return found


def _patterns(data_files: Any) -> Iterator[str]:
    """Globs of a config's `data_files`: a glob, a list of them, a list of {split, path}, or {split: globs}."""
    if isinstance(data_files, str):
        yield data_files
    elif isinstance(data_files, list):
        for item in data_files:
            yield from _patterns(item.get("path") if isinstance(item, dict) else item)
    elif isinstance(data_files, dict):
        for item in data_files.values():
            yield from _patterns(item)


def _count_rows(shard: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(shard) as file:
            missing, rows = sorted(set(NEEDED) - set(file.schema_arrow.names)), file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise QuaclrsError(f"{shard} is not a readable Parquet file; build the data set again") from error
    if missing:
        raise QuaclrsError(f"{shard} has no column {', '.join(missing)}, so it is none of the builder's; {_BUILD}")
    return rows


def _files_shown(folder: Path, card: str) -> set[str]:
    """Files of the folder that the card's text shows as pictures or links to."""
    prose = re.sub(r"^```.*?^```", "", card, flags=re.DOTALL | re.MULTILINE)
    pictures = re.findall(r"!\[[^\]]*\]\(([^)\s]+)|<img[^>]*\ssrc=\"([^\"]+)\"", prose)
    shown = {markdown or html for markdown, html in pictures}
    linked = set(re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", prose))
    local = {name.removeprefix("./") for name in shown | linked if _is_inside(name) and (folder / name).is_file()}
    for name in sorted(shown):
        if _is_inside(name) and not (folder / name).is_file():
            raise QuaclrsError(f"{folder / 'README.md'} shows {name}, which does not exist; build it again")
    return local - {"README.md"}


def _is_inside(name: str) -> bool:
    return not re.match(r"[a-z][a-z0-9+.-]*:|[/#]", name, re.IGNORECASE) and ".." not in PurePosixPath(name).parts


def _stale_patterns(files: tuple[str, ...]) -> list[str]:
    """Remote files of the same folders and kinds, such as `data/*.parquet`: what is not pushed anew is outdated."""
    nested = [PurePosixPath(name) for name in files if "/" in name]
    return sorted({"data/*.parquet", *(f"{path.parts[0]}/*{path.suffix}" for path in nested)})
