"""Find the sounds below a folder, for all commands and for the builder of data sets."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from .errors import AudioError, AudioWarning
from .stream import open_sound

#: Endings that announce a sound: such a file that cannot be decoded is broken, not something else.
_ANNOUNCED = frozenset([
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2",
    ".mpga", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".m4a", ".m4b", ".aac", ".wma",
    ".amr", ".ape", ".wv", ".mka", ".weba", ".ac3", ".spx", ".gsm", ".vox", ".voc", ".sph",
])  # fmt: skip

#: Folders that systems leave behind, beside those whose names begin with a dot.
_HIDDEN = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})

#: Names in a message.
_NAMED = 5


def is_hidden(name: str) -> bool:
    """True for a file or folder that no user made: `._clip.wav`, `.DS_Store`, `__MACOSX`, `.ipynb_checkpoints`."""
    return name.startswith(".") or name in _HIDDEN


def walk_files(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Files, pipes and links below a folder, without what is hidden; links to folders are followed.

    A folder that holds itself by a link is gone through once. A link that leads nowhere comes too. An `AudioWarning`
    names a folder that may not be read.
    """
    yield from _walk(Path(folder), frozenset())


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    place = os.path.realpath(folder)
    if place in above:
        return
    try:
        entries = sorted(path for path in folder.iterdir() if not is_hidden(path.name))
    except OSError as error:
        warnings.warn(
            f"folder {folder} cannot be read ({error.strerror}); it was passed over", AudioWarning, stacklevel=2
        )
        return
    for path in entries:
        if os.path.isdir(path):  # unlike the path's own, never raises
            yield from _walk(path, above | {place})
        else:
            yield path


def find_audio_files(folder: str | os.PathLike[str], ignored: tuple[str, ...] = ()) -> list[Path]:
    """Every sound file below a folder, sorted by path: those that libsndfile opens, whatever their ending.

    Hidden files and folders do not count. One `AudioWarning` counts and names the other files, and links that lead
    nowhere. A file whose ending announces a sound is found even if it holds none: whoever reads it says what is wrong.

    Args:
        folder: where to look.
        ignored: names, or patterns such as `*.csv`, of files that are known to be no sounds.
    """
    found: list[Path] = []
    others: list[str] = []
    for path in walk_files(folder):
        if _is_sound(path, ignored):
            found.append(path)
        elif not _is_ignored(path, ignored):
            others.append(f"{path.relative_to(folder)}{_what_is(path)}")
    if others:
        more = f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
        files = (
            "1 file that is not a sound was" if len(others) == 1 else f"{len(others):,} files that are not sounds were"
        )
        listed = ", ".join(others[:_NAMED])
        warnings.warn(f"{folder}: {files} passed over: {listed}{more}", AudioWarning, stacklevel=2)
    return sorted(found)


def has_audio_files(folder: str | os.PathLike[str], ignored: tuple[str, ...] = ()) -> bool:
    """True where `find_audio_files` would find any; it looks no further than the first."""
    return any(_is_sound(path, ignored) for path in walk_files(folder))


def _what_is(path: Path) -> str:
    """Words to add to the name of a file that holds no sound."""
    if _is_pipe(path):
        return " (a pipe or a device)"
    leads_nowhere = os.path.islink(path) and not os.path.exists(path)
    return f" (a link to {os.readlink(path)}, which does not exist)" if leads_nowhere else ""


def _is_sound(path: Path, ignored: tuple[str, ...]) -> bool:
    if path.suffix.lower() in _ANNOUNCED:
        return not _is_pipe(path)
    return not _is_ignored(path, ignored) and _holds_sound(path)


def _is_ignored(path: Path, ignored: tuple[str, ...]) -> bool:
    return any(fnmatch(path.name, pattern) for pattern in ignored)


def _is_pipe(path: Path) -> bool:
    return os.path.exists(path) and not os.path.isfile(path)


def _holds_sound(path: Path) -> bool:
    """True for a file that libsndfile opens, of MPEG audio one that it also reads: any two bytes may begin a frame."""
    if not os.path.isfile(path):
        return False
    try:
        with open_sound(path) as sound:
            return sound.frames != 0 and next(sound.blocks(1, frames=1, warn=False), None) is not None
    except AudioError:
        return False
