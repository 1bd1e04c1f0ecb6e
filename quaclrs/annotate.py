"""`quaclrs annotate` as a module, for launchers of several processes: `accelerate launch -m quaclrs.annotate …`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from .cli import main

    sys.exit(main(["annotate", *sys.argv[1:]]))
