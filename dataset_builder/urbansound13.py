"""Build UrbanSound13: give every clip a recording and a fold, and write Parquet shards fold by fold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Features

from quaclrs import __version__
from quaclrs.errors import QuaclrsError
from quaclrs.files import name_unwritable, refuse_used_folder, written
from quaclrs.labels import CLASS_NAMES

from .card.readme import write_card
from .recordings.assignment import assign_recordings_and_folds
from .recordings.broken import leave_out_broken
from .recordings.duplicates import leave_out_duplicates
from .recordings.workers import OrderedMap, map_in_this_process, workers
from .sources.files import fingerprint
from .sources.inputs import SOURCES, Inputs, scan_inputs
from .sources.report import SourceClip, SourceReport, class_names_of
from .table.pictures import VARIANTS_OF_KIND, picture_rows
from .table.rows import BuildConfig, make_features
from .table.shards import by_shard, shard_set_of, shard_sets
from .table.transcode import transcode_clip, transcode_clips


def build_urbansound13(reports: list[SourceReport], output: Path, config: BuildConfig | None = None) -> dict[str, Any]:
    """Write the data set of some sources as a folder that `load_dataset` reads.

    Args:
        reports: what was found of each source.
        output: a folder that does not exist yet; it appears complete or not at all.
        config: see `BuildConfig`.

    Returns:
        The figures that the card shows: clips by class, fold and source.

    Raises:
        QuaclrsError: the folder exists, or clips cannot be decoded and are not skipped (see `leave_out_broken`).
    """
    config = config or BuildConfig()
    with written_at_once(output) as folder, workers(config.num_proc) as ordered_map:
        reports, clips = check_and_deal(reports, config, ordered_map)
        names, set_of_clip = class_names_of(reports), shard_sets(clips)
        features, written = make_features(names, config.kind), set()
        (folder / "data").mkdir()
        for variants in VARIANTS_OF_KIND[config.kind]:
            draw = partial(picture_rows, variants=variants) if variants else None
            with closing(transcode_clips(clips, names, ordered_map, draw)) as rows:  # on an error too
                for shard_set, rows_of_set in groupby(rows, lambda row: shard_set_of(row["clip_id"], set_of_clip)):
                    _write_shards(folder / "data", shard_set.name, rows_of_set, features, config)
                    written.add(shard_set)
        return write_card(folder, written, reports, config)


def check_and_deal(
    reports: list[SourceReport], config: BuildConfig, ordered_map: OrderedMap = map_in_this_process
) -> tuple[list[SourceReport], list[SourceClip]]:
    """All that comes before the first row, for the Parquet folder and the `datasets` builder alike.

    Returns:
        The reports, with what was left out, and the clips with recording and fold in the order of their shards.
    """
    reports = leave_out_duplicates(leave_out_broken(reports, ordered_map, config.skip_broken))
    for report in reports:
        if report.duplicates:
            print(f"{report.source}: {len(report.duplicates)} exact duplicates left out; the data card lists them")
    clips = assign_recordings_and_folds([clip for report in reports for clip in report.clips], ordered_map)
    return reports, by_shard(clips)


def _write_shards(
    folder: Path, name: str, rows: Iterable[dict[str, Any]], features: Features, config: BuildConfig
) -> None:
    """Write rows as shards `fold01-00000.parquet`, …, each at most about `shard_bytes` large."""
    writer, shard, written = None, 0, 0
    for table in _tables(rows, features, config.rows_per_group):
        if writer is None or written > config.shard_bytes:
            if writer is not None:
                writer.close()
            writer = pq.ParquetWriter(folder / f"{name}-{shard:05d}.parquet", features.arrow_schema)
            shard, written = shard + 1, 0
        writer.write_table(table)
        written += table.nbytes
    if writer is not None:
        writer.close()


def _tables(rows: Iterable[dict[str, Any]], features: Features, rows_per_table: int) -> Iterator[pa.Table]:
    """Rows as Arrow tables. The bytes of audio and pictures go in as they are, which needs no torchcodec."""
    rows = iter(rows)
    while batch := list(islice(rows, rows_per_table)):
        yield pa.Table.from_pylist(batch, schema=features.arrow_schema)


@contextmanager
def written_at_once(output: Path) -> Iterator[Path]:
    """Yield a folder beside `output` that is renamed to it on success and removed on failure.

    Raises:
        QuaclrsError: `output` exists and is not an empty folder, or cannot be created.
    """
    refuse_used_folder(output, "--output")
    with ExitStack() as stack:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            unfinished = stack.enter_context(written(output, durable=True))
            unfinished.mkdir()
        except OSError as error:
            raise QuaclrsError(f"{output} cannot be created ({error.strerror}); choose another --output") from error
        with name_unwritable(output):
            yield unfinished


@dataclass
class UrbanSound13Config(datasets.BuilderConfig):
    """Sources and rows of `UrbanSound13`.

    Args:
        urbansound8k: folder or archive of UrbanSound8K, or `download`; None goes without.
        sirennet: likewise of sireNNet.
        extras: class name -> folder of recordings of one's own.
        keep_siren, skip_broken: as the options of the command line.
    """

    urbansound8k: str | None = None
    sirennet: str | None = None
    extras: dict[str, str] | None = None
    keep_siren: bool = False
    skip_broken: bool = False

    def given(self) -> dict[str, str]:
        """Name of each source that is given -> where it lies; one without a field here is of the command line alone."""
        places = {source.name: getattr(self, source.name, None) for source in SOURCES}
        return {name: place for name, place in places.items() if place is not None}


class UrbanSound13(datasets.ArrowBasedBuilder):
    """The data set as a `datasets` builder, from recordings on this machine: the rows that the Parquet folder holds.

    ```python
    builder = UrbanSound13(urbansound8k="UrbanSound8K", sirennet="sireNNet")
    builder.download_and_prepare(num_proc=2)
    clips = builder.as_dataset("train")
    ```

    There is one split, `train`, with every clip and its folds; `quaclrs.data.plan_folds` divides it. Audio stays
    encoded until it is read: `cast_column("audio", datasets.Audio(decode=False))` reads it without torchcodec.

    Args:
        config_name: `audio`; pictures are written by the command alone.
        cache_dir: where the Arrow files go; sources that have changed give others.
        config_kwargs: fields of `UrbanSound13Config`.

    Raises:
        QuaclrsError: while preparing, no source is given or a source is not in order.
    """

    BUILDER_CONFIG_CLASS = UrbanSound13Config
    BUILDER_CONFIGS = [UrbanSound13Config(name="audio")]  # noqa: RUF012 - the name and form that datasets reads
    DEFAULT_CONFIG_NAME = "audio"

    def __init__(self, config_name: str | None = None, cache_dir: str | None = None, **config_kwargs: Any) -> None:
        super().__init__(cache_dir=cache_dir, config_name=config_name, **config_kwargs)

    def _info(self) -> datasets.DatasetInfo:
        c = self.config
        extras = c.extras or {}
        self._build_config = BuildConfig(skip_broken=c.skip_broken)
        sources = [*c.given().values(), *extras.values()]
        # The cache folder is named after `hash` when this returns: changed recordings must not give the old rows.
        self.hash = fingerprint([*sources, __version__])
        names = sorted({*CLASS_NAMES, *extras, *(["siren"] if c.keep_siren else [])})
        return datasets.DatasetInfo(
            description="UrbanSound8K without `siren`, and four classes of sirens and traffic",
            features=make_features(names),
        )

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        c = self.config
        given = c.given()
        if not given and not c.extras:
            raise QuaclrsError("no source given; pass urbansound8k=FOLDER, sirennet=FOLDER or extras={NAME: FOLDER}")
        extras = {name: Path(folder) for name, folder in (c.extras or {}).items()}
        reports = scan_inputs(Inputs(given, extras, c.keep_siren))
        _, clips = check_and_deal(reports, self._build_config)
        return [datasets.SplitGenerator(name="train", gen_kwargs={"clips": clips})]

    def _generate_tables(self, clips: list[SourceClip]) -> Iterator[tuple[int, pa.Table]]:
        names = self.info.features["label"].names
        rows = chain.from_iterable(transcode_clip(clip, names) for clip in clips)
        yield from enumerate(_tables(rows, self.info.features, self._build_config.rows_per_group))
