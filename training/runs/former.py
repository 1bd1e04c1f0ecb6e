"""Set aside what a new run replaces, and put it back where that run ends before it has done anything."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

#: In a run's folder: what it held before; and the same while it is being moved. Its name says that it is whole.
_ASIDE, _MOVING = ".former", ".former.moving"

#: What a run writes before its first epoch has ended.
_WRITTEN = ("config.yaml", "environment.json", "policy.yaml", "history.csv", "checkpoints", "plots", "tracker")


def is_amid_moving(folder: Path) -> bool:
    """True where a process was killed while it moved the content of a run's folder; the next run moves it back."""
    return (folder / _MOVING).is_dir()


class FormerRun:
    """The former content of a run's folder.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._aside, self._moving = folder / _ASIDE, folder / _MOVING
        self._was_there = True
        self._is_held = False

    def set_aside(self) -> None:
        """Move all that the folder holds aside, if it is there; where that fails, nothing is moved."""
        self._was_there = self.folder.is_dir()
        self._is_held = True
        if entries := list(self.folder.iterdir()) if self._was_there else []:
            self._moving.mkdir()
            try:
                for entry in entries:
                    entry.rename(self._moving / entry.name)
            except BaseException:
                self._is_held = False
                with suppress(OSError):  # the next command does it
                    self._move_back()
                raise
            self._moving.rename(self._aside)

    def restore(self) -> None:
        """Remove what the new run has written, and put back what was there."""
        if not self._is_held:
            return
        self._is_held = False
        if not self._moving.is_dir():
            for name in _WRITTEN:
                _remove(self.folder / name)
            if self._aside.is_dir():
                self._aside.rename(self._moving)
        if self._moving.is_dir():
            self._move_back()
        elif not self._was_there:
            with suppress(OSError):  # others have put something there
                self.folder.rmdir()

    def delete(self) -> None:
        """Forget what was there."""
        self._is_held = False
        if self._aside.is_dir():
            shutil.rmtree(self._aside, ignore_errors=True)  # what cannot be deleted must not end a run

    def recover(self, has_begun: bool, resume: bool) -> None:
        """Put right what a killed process left.

        Args:
            has_begun: the run in the folder has finished an epoch, or has a checkpoint.
            resume: that run is to go on.
        """
        if self._moving.is_dir():
            self._move_back()
        if self._aside.is_dir() and has_begun:
            self.delete()
        elif self._aside.is_dir() and not resume:
            self._is_held = True
            self.restore()

    def _move_back(self) -> None:
        for entry in self._moving.iterdir():
            entry.rename(self.folder / entry.name)
        self._moving.rmdir()


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)
