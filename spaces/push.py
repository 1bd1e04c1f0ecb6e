"""Publish the Space: `python spaces/push.py --repo NAMESPACE/NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

from quaclrs.errors import CommandParser, report_user_errors
from quaclrs.hub import files_to_push, push_folder

HERE = Path(__file__).parent


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python spaces/push.py", description="Publish the Space on the Hub.")
    parser.add_argument("--repo", required=True, metavar="NAMESPACE/NAME", help="repository; created if absent")
    parser.add_argument("--private", action="store_true", help="only you, or your organisation, may see it")
    options = parser.parse_args(arguments)
    files = [name for name in files_to_push(HERE) if name != Path(__file__).name]
    pushed = push_folder(
        HERE, options.repo, "space", files=files, stale_patterns=["*"], private=options.private,
        commit_message="The Space of QUACLRS",
    )  # fmt: skip
    print(f"{pushed.url}: {len(pushed.files)} files; commit {pushed.commit[:7]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
