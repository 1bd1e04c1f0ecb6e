"""Child processes of Python that begin with the large libraries imported: `run([...])` in place of `subprocess.run`.

Importing PyTorch and its company takes longer than most of what the tests' commands do. A server imports them once and
forks a child for each command, or several that train together. The Hugging Face libraries read their environment when
they are first imported, so a command with a Hub or a cache of its own imports them itself. Where an import is what is
tested, start a fresh interpreter.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

_LIBRARIES = (
    "torch", "torch._dynamo.convert_frame", "torch.distributed.tensor", "torch.export", "torchvision", "scipy.signal",
    "sklearn.ensemble", "sklearn.linear_model", "pandas", "pyarrow.parquet", "matplotlib.pyplot", "soundfile", "soxr",
    "yaml", "PIL.Image",
)  # fmt: skip

_HUGGING_FACE = (
    "transformers.modeling_utils",
    "transformers.pipelines",
    "datasets",
    "accelerate",
    "timm",
    "librosa.core",
)

#: Without and with the Hugging Face libraries.
_servers: dict[bool, subprocess.Popen] = {}

#: A server answers one at a time.
_lock = threading.Lock()

#: Seconds that processes have to end after another one of theirs has failed, as under torch's own launcher.
_GRACE = 30


def run(
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] = ".",
    stdin: str | os.PathLike[str] = os.devnull,
    processes: int = 1,
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, `-m module …`, `-c code …` or a script, and wait for its end.

    Args:
        arguments: of the interpreter.
        env: all environment variables; this process's without it.
        cwd: its working directory.
        stdin: file that it reads as its standard input.
        processes: ranks of one training, see `fork`.

    Returns:
        Exit status, negative for a signal, and what all of them printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, error = Path(folder, "stdout"), Path(folder, "stderr")
        job = {
            "arguments": list(map(str, arguments)),
            "environment": dict(os.environ if env is None else env),
            "cwd": str(Path(cwd).resolve()),
            "files": [str(Path(stdin).resolve()), str(output), str(error)],
            "processes": processes,
        }
        with _lock:
            server = _running_server(with_hugging_face=_of_hub(job["environment"]) == _of_hub(os.environ))
            assert server.stdin and server.stdout
            server.stdin.write(json.dumps(job) + "\n")
            server.stdin.flush()
            status = int(server.stdout.readline())
        return subprocess.CompletedProcess(job["arguments"], status, output.read_text(), error.read_text())


def _of_hub(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}


def _running_server(with_hugging_face: bool) -> subprocess.Popen:
    if with_hugging_face not in _servers:
        libraries = _LIBRARIES + (_HUGGING_FACE if with_hugging_face else ())
        command = [sys.executable, __file__, *libraries]
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # what PyTorch reads when it is imported
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=one_thread)
        atexit.register(_close, server)
        _servers[with_hugging_face] = server
    return _servers[with_hugging_face]


def _close(server: subprocess.Popen) -> None:
    """End a server by the end of its input."""
    with server:
        assert server.stdin
        server.stdin.close()


def _serve(libraries: Sequence[str]) -> None:
    """Fork a child for each job on standard input and answer with its status."""
    for name in libraries:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a child would copy all that it looks at
    answers = os.fdopen(os.dup(1), "w")
    while line := sys.stdin.readline():
        job = json.loads(line)

        def work(rank: dict[str, str], job: dict[str, Any] = job) -> NoReturn:
            answers.close()
            _end(_status_of({**job, "environment": job["environment"] | rank}))

        print(fork(job["processes"], work), file=answers, flush=True)


def fork(processes: int, work: Callable[[dict[str, str]], NoReturn]) -> int:
    """Fork ranks of one training and wait for them.

    Args:
        processes: so many of them.
        work: ends the forked process. It gets the variables that torch's launcher sets, by which they find each other;
            none where there is but one.

    Returns:
        The exit status of the first that failed, 0 where none did. When one fails the others are told to end.
    """
    children = set()
    for rank in _ranks(processes):
        child = os.fork()
        if child == 0:
            work(rank)
        children.add(child)
    failure = 0
    while children:
        child, status = os.wait()
        children.discard(child)
        if status and not failure:
            failure = os.waitstatus_to_exitcode(status)
            for other in children:
                os.kill(other, signal.SIGTERM)
            signal.signal(signal.SIGALRM, lambda *_: [os.kill(other, signal.SIGKILL) for other in children])
            signal.alarm(_GRACE)
    signal.alarm(0)
    return failure


def _ranks(processes: int) -> list[dict[str, str]]:
    """What the environment of each process has of its own; nothing of a single one."""
    if processes == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    common |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    return [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def _status_of(job: dict[str, Any]) -> int:
    """Be the process that was asked for; its exit status."""
    for descriptor, file in enumerate(job["files"]):
        opened = os.open(file, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(opened, descriptor)
    # By the line, so that a child that is killed has said what it said.
    sys.stdin, sys.stdout = os.fdopen(0, "r", closefd=False), os.fdopen(1, "w", 1, closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["cwd"])
    added = [path for path in job["environment"].get("PYTHONPATH", "").split(os.pathsep) if path]
    first, *rest = job["arguments"]
    sys.path[0:1] = [str(Path(first).parent) if first.endswith(".py") else job["cwd"], *added]
    try:
        if first == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        elif first == "-c":
            sys.argv = ["-c", *rest[1:]]
            main = sys.modules["__main__"] = types.ModuleType("__main__")  # where pickle looks for its functions
            exec(compile(rest[0], "<string>", "exec"), vars(main))
        else:
            sys.argv = job["arguments"]
            runpy.run_path(first, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(status: int) -> NoReturn:
    """End as Python does, without taking a gigabyte of libraries apart."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _serve(sys.argv[1:])
