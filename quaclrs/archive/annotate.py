"""`annotate`: label all sound files of an archive in one table, with any number of processes and machines."""

from __future__ import annotations

import dataclasses
import os
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ..audio import AudioError, find_audio_files
from ..errors import QuaclrsError, QuaclrsWarning
from ..files import refuse_unwritable, storable
from ..inference.classifier import AudioClassifier
from .hearing import Ear, HearingOptions
from .journal import Journal, Key
from .progress import Progress
from .recorded import recorded_at
from .rows import Annotated, inside
from .tables import FOLDERS, format_of, write_tables

#: Batches that wait for each worker: so decoding runs ahead, and one long file keeps all of them busy.
_BATCHES_AHEAD = 2

#: Files of former runs, which may lie among the sounds.
_OURS = ("*.jsonl", "plan.json", "*.npy", *(f"*{ending}" for ending in FOLDERS.values()))

#: Seconds until files that other processes work on are looked at again.
_PAUSE = 0.5


@dataclass(frozen=True)
class Part:
    """Number of this process among several."""

    rank: int = 0
    processes: int = 1
    local_rank: int = 0
    on_this_machine: int = 1

    @classmethod
    def of_environment(cls) -> Part:
        """Read rank and number of processes from `accelerate launch` or `torchrun`; without them, one of one."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        found = (os.environ.get(name, "") for name in names)
        return cls(*(int(v) if v.isdigit() else default for v, default in zip(found, (0, 1, 0, 1), strict=True)))


@dataclass(frozen=True)
class Outcome:
    """Outcome of an archive, by all runs and processes together.

    Attributes:
        files: how many sound files it holds.
        hours: of sound that were annotated.
        broken: files that cannot be heard -> why.
    """

    files: int
    hours: float
    broken: dict[str, str] = field(default_factory=dict)


def annotate(
    classifier: AudioClassifier,
    sounds: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    options: HearingOptions | None = None,
    *,
    model: str = "",
    style: str | None = None,
    workers: int = 1,
    progress: bool = False,
    part: Part | None = None,
) -> Outcome:
    """Annotate files and all files below folders; files that an earlier run finished are not heard again.

    Any number of processes share the work by the journal, a folder beside the output. Each takes the next file that no
    other works on; a file whose process died is taken again. All end when every file is done. The journal stays, so
    new files can be added later. The next run tries files again that could not be heard.

    Args:
        classifier: see `Ear`.
        sounds: files and folders, in the order of the tables; the files of a folder by their paths.
        output: one table, by its ending Parquet, CSV or JSON lines; for `audacity` and `raven` a folder.
        options: how to hear.
        model: name or digest of the model, the same for all runs into one output.
        style: one of `tables.FORMATS`, where the ending does not tell.
        workers: threads that run the model, each on its own: the classifier should use one thread for a batch.
        progress: show it on standard error.
        part: which process this is; by the environment where absent.

    Raises:
        QuaclrsError: no sounds are found, nothing of what is given exists, the output cannot be written, its journal
            belongs to other options, or two files would have one table or one file of embeddings.
    """
    output, part, options = Path(output), part or Part.of_environment(), options or HearingOptions()
    style = format_of(output, style)
    paths = {_key_of(path): path for path in _files_of(sounds, (output.name, *_OURS))}
    if style in FOLDERS or options.embeddings:
        _refuse_one_place([file for file, _, _ in paths])
    refuse_unwritable(output, "--output")
    (output if style in FOLDERS else output.parent).mkdir(parents=True, exist_ok=True)
    plan = {**dataclasses.asdict(options), "model": model, "labels": classifier.labels}
    del plan["batch_size"]  # which changes how fast it goes
    with closing(Journal(output.with_name(f"{output.name}.journal"), plan)) as journal:
        with ThreadPoolExecutor(workers, "model") as executor:
            ear = Ear(classifier, executor, _BATCHES_AHEAD * workers, options)
            with Progress(sum(size for _, size, _ in paths), progress and part.rank == 0) as shown:
                first = len(paths) * part.rank // part.processes  # each begins elsewhere
                _Lanes(ear, journal, shown, [*paths.items()][first:] + [*paths.items()][:first]).run(workers + 1)
        if part.rank == 0:
            with journal.held("merge"):
                write_tables((journal.read(key) for key in paths), output, style)
            if left := len(journal.names() - {file for file, _, _ in paths}):
                files = f"{left:,} files of earlier runs are" if left > 1 else "1 file of an earlier run is"
                warnings.warn(
                    f"{output}: {files} not among these sounds, so not in it; name their folders too to have both",
                    QuaclrsWarning,
                    stacklevel=2,
                )
        seconds, broken = 0.0, {}
        for annotated in map(journal.read, paths):
            seconds += annotated.seconds
            if annotated.error is not None:
                broken[annotated.file] = annotated.error
    return Outcome(len(paths), seconds / 3600, broken)


def _files_of(sounds: Sequence[str | os.PathLike[str]], ignored: tuple[str, ...]) -> Iterator[Path]:
    if not sounds:
        raise QuaclrsError("no sounds are given; give sound files, or folders of them")
    if not any(map(os.path.exists, sounds)):
        raise QuaclrsError(f"{sounds[0]} does not exist; give sound files, or folders of them")
    for place in map(Path, sounds):
        if not os.path.isdir(place):
            yield place
        elif files := find_audio_files(place, ignored):
            yield from files
        elif len(sounds) > 1:
            yield place  # whoever hears it says that it is a folder
        else:
            raise QuaclrsError(f"{place} holds no sound files; give a folder with WAV, FLAC, Ogg or MP3 files")


def _refuse_one_place(files: Sequence[str]) -> None:
    """Refuse files, as the tables name them, whose own results would lie at one place, as of `../a.wav` and `a.wav`."""
    found: dict[Path, str] = {}
    for file in files:
        if (other := found.setdefault(inside(Path(file)), file)) != file:
            raise QuaclrsError(f"{other} and {file} would have one table in a folder; annotate them apart")


def _key_of(path: Path) -> Key:
    try:
        status = path.stat()
    except OSError:  # whoever hears it says why
        return storable(str(path)), 0, 0
    return storable(str(path)), status.st_size, int(status.st_mtime)


class _Stopped(Exception):
    """Ends a lane when another one failed or the user stopped the work."""


class _Lanes:
    """Threads that each take a file, decode it and wait for the model's answers."""

    def __init__(self, ear: Ear, journal: Journal, progress: Progress, files: Sequence[tuple[Key, Path]]) -> None:
        self.ear, self.journal, self.progress = ear, journal, progress
        self._files = deque(files)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._taken = 0  # files in turn that others work on

    def run(self, lanes: int) -> None:
        """Work until every file is in the journal, whichever process wrote it there."""
        with ThreadPoolExecutor(lanes, "lane") as threads:
            running = [threads.submit(self._lane) for _ in range(lanes)]
            try:
                wait(running, return_when=FIRST_EXCEPTION)
            finally:
                self._stop.set()
        for lane in running:
            if not isinstance(error := lane.exception(), _Stopped) and error is not None:
                raise error

    def _lane(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                if not self._files:
                    return
                key, path = self._files.popleft()
                is_pausing = self._taken > len(self._files)
            if is_pausing and self._stop.wait(_PAUSE):
                return
            with self.journal.claim(key) as is_free:
                if is_free:
                    self.journal.add(self._annotated(key, path))
                elif key in self.journal:
                    self.progress.passed(key[1], by_us=False)
                else:
                    with self._lock:
                        self._files.append((key, path))
                        self._taken += 1
                    continue
            with self._lock:
                self._taken = 0

    def _annotated(self, key: Key, path: Path) -> Annotated:
        def heard(seconds: float) -> None:
            self.progress.heard(seconds)
            if self._stop.is_set():
                raise _Stopped

        recorded = recorded_at(path)
        begun = None if recorded is None else recorded.isoformat()
        try:
            segments = self.ear.segments(path, heard)
        except AudioError as error:
            self.progress.broken(key[1])
            return Annotated(*key, begun, (), str(error))
        self.progress.passed(key[1])
        return Annotated(*key, begun, tuple(segments))
