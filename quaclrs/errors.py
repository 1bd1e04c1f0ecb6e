"""The one exception that a user's mistake raises, and the one line it becomes on a command line."""

from __future__ import annotations

import argparse
import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn


class QuaclrsError(ValueError):
    """A mistake of the caller: its message is one line that names the file or option and says what to do."""


class QuaclrsWarning(UserWarning):
    """Something that the caller should know of a result: one line, which a command prints on stderr."""


def first_line_of(error: BaseException) -> str:
    """First line of another library's error message; the name of its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class CommandParser(argparse.ArgumentParser):
    """An argument parser that reports a wrong option as a `QuaclrsError` instead of printing its whole usage."""

    def error(self, message: str) -> NoReturn:
        raise QuaclrsError(f"{message} (see {self.prog} --help)")


def report_user_errors(main: Callable[..., int]) -> Callable[..., int]:
    """Make a command's `main` print a `QuaclrsError` as one line and return status 2 instead of a traceback.

    A `QuaclrsWarning` becomes one line too, and the same one is printed once. Of several processes only rank 0 prints,
    so that `accelerate launch` shows the line once.
    """

    @functools.wraps(main)
    def wrapper(*args: Any, **kwargs: Any) -> int:
        try:
            with _one_line_warnings():
                return main(*args, **kwargs)
        except QuaclrsError as error:
            if int(os.environ.get("RANK", "0")) == 0:
                print(f"error: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
            return 2
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:  # whoever read the output has had enough, as `head` has
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141

    return wrapper


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        others, printed = warnings.showwarning, set[str]()

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if not issubclass(category, QuaclrsWarning):
                others(message, category, *place, **more)
            elif (line := " ".join(str(message).split())) not in printed and int(os.environ.get("RANK", "0")) == 0:
                from tqdm import tqdm

                printed.add(line)
                # Through tqdm, so that the line does not run into a progress bar.
                tqdm.write(f"warning: {line}", file=sys.stderr)

        warnings.showwarning = show
        warnings.simplefilter("always", QuaclrsWarning)  # other filters come and go in a run
        yield
