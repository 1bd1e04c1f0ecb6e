"""Load test of the Space: many ask at once, `python -m benchmarks.space_load [--clients 50] [--minutes 5]`.

It starts the Space on loopback and lets clients send sounds, silence, broken files and too long ones, as fast as they
are answered. Every request must end in an answer or in a message that a person can read, and the memory of the server
must not grow. It never leaves this machine and ends by itself.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from quaclrs.errors import CommandParser, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record

from .running_space import running_space, write_sounds

#: Growth of the server's memory, after its first minute, that is taken for a leak.
MOST_GROWTH_MB = 200.0

#: What a message of the server to a full queue says.
FULL = "full"


def write_files(folder: Path) -> dict[str, Path]:
    """Good and bad files by kind."""
    generator = np.random.default_rng(0)
    sounds = {
        "good": (generator.normal(0, 0.1, 4 * 44_100), 44_100),
        "good, half a minute": (generator.normal(0, 0.1, (30 * 22_050, 2)), 22_050),
        "silent": (np.zeros(48_000), 48_000),
        "too long": (generator.normal(0, 0.1, 11 * 60 * 8_000), 8_000),
    }
    return write_sounds(folder, sounds)


def ask(url: str, files: dict[str, Path], number: int, until: float, outcomes: Counter, lock: threading.Lock) -> None:
    """One client: file after file until the time is over."""
    client = Client(url, verbose=False)
    kinds = list(files)
    turn = number
    while time.monotonic() < until:
        kind = kinds[turn % len(kinds)]
        turn += 1
        try:
            answer, _ = client.predict(handle_file(str(files[kind])), api_name="/predict")
            outcome = "answer" if answer["label"] else "empty answer"
        except AppError as error:
            outcome = "message: queue full" if FULL in str(error) else "message"
        except Exception as error:  # whatever else a server or connection does wrong
            outcome = f"failure: {type(error).__name__}: {error}"[:120]
        with lock:
            outcomes[kind, outcome] += 1


def memory_mb(process: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.space_load", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clients", type=int, default=50, metavar="N", help="that ask at once (default 50)")
    parser.add_argument("--minutes", type=float, default=5.0, metavar="M", help="how long (default 5)")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    outcomes: Counter = Counter()
    lock = threading.Lock()
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder))
        with running_space() as (address, server):
            began = time.monotonic()
            until = began + 60 * options.minutes
            clients = [
                threading.Thread(target=ask, args=(address, files, number, until, outcomes, lock), daemon=True)
                for number in range(options.clients)
            ]
            for client in clients:
                client.start()
            memory = []
            while any(client.is_alive() for client in clients) and server.poll() is None:
                if time.monotonic() > until + 120:
                    break
                memory.append((time.monotonic() - began, memory_mb(server.pid)))
                time.sleep(5)
            waiting = sum(client.is_alive() for client in clients)
    settled = [mb for seconds, mb in memory if seconds >= min(60, 15 * options.minutes)] or [memory[-1][1]]
    growth = settled[-1] - settled[0]
    print(f"{options.clients} clients, {options.minutes:g} minutes, {outcomes.total()} requests")
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:<22}{outcome:<30}{count:>7}")
    print(f"memory: {settled[0]:.0f} MB when warm, {settled[-1]:.0f} MB at the end, {max(settled):.0f} MB at most")
    failures = sum(count for (_, outcome), count in outcomes.items() if outcome.startswith(("failure", "empty")))
    print(f"failures: {failures}; clients still waiting: {waiting}")
    row = {"clients": options.clients, "minutes": options.minutes, "requests": outcomes.total(), "failures": failures}
    row |= {"waiting": waiting, "warm_mb": settled[0], "end_mb": settled[-1], "most_mb": max(settled)}
    write_record(options.json, command_of(parser, arguments), [row])
    return 0 if not failures and not waiting and growth <= MOST_GROWTH_MB else 1


if __name__ == "__main__":
    sys.exit(main())
