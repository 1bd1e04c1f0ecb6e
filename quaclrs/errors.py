"""The one exception that a user's mistake raises, and the one line it becomes on a command line."""

from __future__ import annotations

import argparse
import errno
import functools
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, NoReturn

from .standard_error import write_line

#: Control characters, those that turn the direction of writing, and bytes that are not text: names of files hold them.
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class QuaclrsError(ValueError):
    """A mistake of the caller: its message is one line that names the file or option and says what to do.

    Attributes:
        of_one_process: True where the other processes of a run do not meet it, so that this one has to tell.
    """

    of_one_process = False


class QuaclrsWarning(UserWarning):
    """Something that the caller should know of a result: one line, which a command prints on stderr."""


def first_line_of(error: BaseException) -> str:
    """First line of another library's error message; the name of its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def printable(name: str) -> str:
    """A name as one line that a terminal shows as it is: line breaks, and what would steer the terminal, as numbers."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), name)


def one_line(message: object) -> str:
    """A message as one line that a terminal shows as it is."""
    return printable(" ".join(str(message).split()))


def print_error(message: object, kind: str = "error") -> None:
    """Print a line on standard error: of a file among many that is left out, for instance."""
    write_line(f"{kind}: {one_line(message)}")


class CommandParser(argparse.ArgumentParser):
    """An argument parser that reports a wrong option as a `QuaclrsError` instead of printing its whole usage."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As `argparse` does, but a command refuses by its own name what it does not know, before what it lacks."""
        given = sys.argv[1:] if args is None else list(args)
        known = [] if self._subparsers else [*self._option_string_actions]
        for word in takewhile(lambda word: known and word != "--", given):
            name = word.partition("=")[0]
            if not name.startswith("--") or " " in word:  # a value
                continue
            if not any(option.startswith(name) for option in known):
                near = get_close_matches(name.replace("_", "-"), {*known} - {"--help"}, 1, 0.75)
                self.error(f"{name} is not understood" + (f"; did you mean {near[0]}?" if near else ""))
        options, unknown = super().parse_known_args(given, namespace)
        if unknown:
            self.error(f"{unknown[0]} is not understood")
        return options, unknown

    def error(self, message: str) -> NoReturn:
        raise QuaclrsError(f"{message} (see {self.prog} --help)")


def report_user_errors(main: Callable[..., int]) -> Callable[..., int]:
    """Make a command's `main` print a `QuaclrsError` as one line and return status 2 instead of a traceback.

    So it does with an `OSError`, by the name of its file. Characters that the terminal's encoding lacks are printed as
    their numbers.

    A `QuaclrsWarning` becomes one line too, and the same one is printed once. Of several processes only rank 0 prints,
    so that `accelerate launch` shows the line once; but any tells of its own clips.
    """

    @functools.wraps(main)
    def wrapper(*args: Any, **kwargs: Any) -> int:
        for stream in (sys.stdout, sys.stderr):
            _print_any_name(stream)
        try:
            with _one_line_warnings():
                status = main(*args, **kwargs)
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where an error can still be told
            return status
        except QuaclrsError as error:
            return _refused(str(error), error.of_one_process)
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:  # whoever read the output has had enough, as `head` has
            _silence_output()
            return 141
        except OSError as error:
            return _refused(_describe(error))

    return wrapper


def _refused(message: str, of_one_process: bool = False) -> int:
    if of_one_process or int(os.environ.get("RANK", "0")) == 0:
        print_error(message)
    return 2


def _print_any_name(stream: Any) -> None:
    """Let a stream write characters that its encoding lacks, and bytes of file names that are not text, as numbers."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors="backslashreplace")


def _silence_output() -> None:
    """Keep Python from writing to standard output once more when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _describe(error: OSError) -> str:
    """One line of an error of the system: the file and the reason."""
    reason = error.strerror or first_line_of(error)
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {reason}; check the path, its permissions and the disk"
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # what it could not write is still there
        _silence_output()
        return f"standard output cannot be written ({reason}); send it elsewhere"
    if error.errno == errno.ENOSPC:
        return f"an output cannot be written ({reason}); make room on the disk, or write elsewhere"
    return reason


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        others, printed = warnings.showwarning, set[str]()

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if not issubclass(category, QuaclrsWarning):
                others(message, category, *place, **more)
            elif (line := one_line(message)) not in printed and int(os.environ.get("RANK", "0")) == 0:
                from tqdm import tqdm

                printed.add(line)
                with tqdm.external_write_mode(file=sys.stderr):  # the line does not run into a progress bar
                    write_line(f"warning: {line}")

        warnings.showwarning = show
        warnings.simplefilter("always", QuaclrsWarning)  # other filters come and go in a run
        yield
