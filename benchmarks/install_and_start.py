"""Cost of a first label: seconds and megabytes of the install, and seconds from the start of a process.

`python -m benchmarks.install_and_start` installs this clone alone, this clone with `[torch]`, and what a plain
Transformers pipeline needs, each in a fresh virtual environment, and labels one sound by each. The pipeline is the
Audio Spectrogram Transformer, Transformers' own class for the task, with random weights: nothing is downloaded beside
the packages, which come from pip's cache where it has them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from quaclrs.errors import CommandParser, QuaclrsError, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record

ROOT = Path(__file__).parents[1]
SOUND = ROOT / "spaces" / "examples" / "dog_bark.ogg"

_PREDICT = ("-m", "quaclrs.cli", "predict", str(SOUND))

_AST = """
import sys
import soundfile
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification, pipeline

classify = pipeline(
    "audio-classification", model=ASTForAudioClassification(ASTConfig()), feature_extractor=ASTFeatureExtractor()
)
samples, rate = soundfile.read(sys.argv[1], dtype="float32")
print(classify({"array": samples, "sampling_rate": rate}, top_k=1))
"""


@dataclass(frozen=True)
class Way:
    """A way to a label: what to install, and the arguments of Python that label a sound by it."""

    packages: tuple[str, ...]
    command: tuple[str, ...]


WAYS = {
    "light": Way((str(ROOT),), _PREDICT),
    "torch": Way((f"{ROOT}[torch]",), (*_PREDICT, "--backend", "torch")),
    # The extractor needs torchaudio or SciPy to resample.
    "pipeline": Way(("torch", "torchaudio", "transformers", "soundfile"), ("-c", _AST, str(SOUND))),
}


def measure(way: Way, place: Path, starts: int, uv: bool) -> tuple[float, int, float]:
    """Seconds of the install, its megabytes, and seconds to a label, the median over warm starts.

    Raises:
        QuaclrsError: a package cannot be installed, or no label comes.
    """
    python = str(place / "bin" / "python")
    _run([sys.executable, "-m", "venv", *(["--without-pip"] if uv else []), str(place)])
    install = ["uv", "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    before, began = _megabytes(place), time.perf_counter()
    _run([*install, "--quiet", *way.packages])
    seconds, megabytes = time.perf_counter() - began, _megabytes(place) - before
    taken = []
    for _ in range(starts + 1):  # the first one compiles what the installer has not, and fills the disk's cache
        began = time.perf_counter()
        _run([python, *way.command])
        taken.append(time.perf_counter() - began)
    return seconds, megabytes, median(taken[1:])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=tempfile.gettempdir(), capture_output=True, text=True)
    if done.returncode:
        raise QuaclrsError(f"{' '.join(command)[:80]} failed: {done.stderr.strip()[-400:]}")


def _megabytes(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*")) // 1_000_000


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.install_and_start", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--ways", nargs="+", choices=tuple(WAYS), default=list(WAYS), metavar="WAY", help=f"of {', '.join(WAYS)}")
    add("--starts", type=int, default=5, metavar="N", help="processes that are timed (default 5)")
    add("--uv", action="store_true", help="install by uv in place of pip")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    rows = []
    print(f"{'':12}{'install, s':>12}{'MB':>8}{'to a label, s':>16}")
    for name in options.ways:
        place = Path(tempfile.mkdtemp())
        try:
            seconds, megabytes, start = measure(WAYS[name], place, options.starts, options.uv)
            print(f"{name:12}{seconds:12.1f}{megabytes:8}{start:16.2f}", flush=True)
            rows.append({"way": name, "install_seconds": seconds, "megabytes": megabytes, "label_seconds": start})
        finally:
            shutil.rmtree(place)
    write_record(options.json, command_of(parser, arguments), rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
