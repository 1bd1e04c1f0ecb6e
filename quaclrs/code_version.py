"""A key of the code behind what caches on disk hold: where that code has changed, they are made anew.

It is a digest of source, not a number that somebody would have to raise: nobody forgets it. The price of a changed
comment is that some embeddings are computed again.
"""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

#: What makes a waveform of a file, relative to the package.
DECODING = ("audio/**/*.py", "models/waveforms.py")

#: What makes an embedding of a clip: decoding, cuts, augmented copies, their policies, front end and networks.
EMBEDDING = (
    *DECODING,
    "text_files.py",
    "transforms.py",
    "evaluation/shortcuts.py",
    "augment/**/*.py",
    "models/**/*.py",
)

#: Libraries under them whose versions count too.
_LIBRARIES = {DECODING: ("soundfile", "soxr"), EMBEDDING: ("soundfile", "soxr", "torch", "torchvision", "timm")}


@functools.cache
def code_version(parts: tuple[str, ...], package: Path = Path(__file__).parent) -> str:
    """Digest of the source files of a part, `DECODING` or `EMBEDDING`, and of the versions of its libraries."""
    digest = hashlib.sha256()
    for file in files_of(parts, package):
        digest.update(file.read_bytes())
    for library in _LIBRARIES[parts]:
        digest.update(f"{library} {version(library)}".encode())
    return digest.hexdigest()


def files_of(parts: tuple[str, ...], package: Path = Path(__file__).parent) -> list[Path]:
    """The source files of a part, sorted."""
    return sorted({file for pattern in parts for file in package.glob(pattern)})
