"""Decode every clip once before anything is built, so that all broken files are known before a byte is written.

What passes here has a length, a rate and channels that all later work takes, so nothing fails after hours.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from quaclrs.audio import AudioError, AudioWarning, read_recording
from quaclrs.errors import QuaclrsError, first_line_of, print_error

from ..sources.report import SourceReport
from .duplicates import pcm_fingerprint
from .workers import OrderedMap, map_in_this_process

#: Seconds that a clip lasts: from one hop of the front end, in which nothing can be told, to what is held in memory.
SHORTEST, LONGEST = 0.01, 600.0

_CLIPS_PER_TASK = 64


def leave_out_broken(
    reports: Sequence[SourceReport], ordered_map: OrderedMap = map_in_this_process, skip_broken: bool = False
) -> list[SourceReport]:
    """Decode all clips and leave out those that cannot be, or that no clip can be like, each with its reason on stderr.

    What is lost of a clip that is damaged in part is said there too, and the rest of it is kept.

    Args:
        reports: what was found of each source.
        ordered_map: runs the decoding in other processes (see `workers`).
        skip_broken: go on without the broken clips.

    Returns:
        The reports with whole clips only; `broken` of each names what was left out and why, and `fingerprints` tells
        clips of equal samples.

    Raises:
        QuaclrsError: a clip is broken and not to be skipped, or no clip is left.
    """
    paths = [clip.path for report in reports for clip in report.clips]
    checked = dict(zip(paths, _check_all(paths, ordered_map), strict=True))
    broken = [found for found in checked.values() if isinstance(found, str)]
    for line in broken:
        print_error(line, "broken")
    if broken and not skip_broken:
        others = f" ({len(broken) - 1} more broken files are listed above)" if len(broken) > 1 else ""
        raise QuaclrsError(f"{broken[0]}{others}, or leave broken files out by --skip-broken")
    if len(broken) == len(paths):
        raise QuaclrsError("no clip can be decoded, so there is nothing to build; check the sources")
    return [
        replace(
            report,
            clips=[clip for clip in report.clips if isinstance(checked[clip.path], bytes)],
            broken={clip.clip_id: found for clip in report.clips if isinstance(found := checked[clip.path], str)},
            fingerprints={
                clip.clip_id: found for clip in report.clips if isinstance(found := checked[clip.path], bytes)
            },
        )
        for report in reports
    ]


@contextmanager
def decoded_again(path: Path) -> Iterator[None]:
    """Keep still what is lost of a clip, which `leave_out_broken` has said; name it in what goes wrong with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudioWarning)
        try:
            yield
        except QuaclrsError:
            raise
        except Exception as error:
            raise QuaclrsError(f"{path} cannot be built ({first_line_of(error)}); leave it out") from error


def _check_all(paths: Sequence[Path], ordered_map: OrderedMap) -> Iterator[bytes | str]:
    with tqdm(total=len(paths), desc="checking", unit="clip") as progress:
        for found, losses in ordered_map(_check, paths, _CLIPS_PER_TASK):
            progress.update()
            for line in losses:
                warnings.warn(line, AudioWarning, stacklevel=2)
            yield found


def _check(path: Path) -> tuple[bytes | str, list[str]]:
    """The fingerprint of a clip's samples, or why it cannot be decoded; and what of it is lost."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AudioWarning)
        try:
            recording = read_recording(path, longest=LONGEST + 1)
            if not SHORTEST <= recording.duration <= LONGEST:
                lasts = f"{recording.duration:.4f} s" if recording.duration < SHORTEST else "longer"
                raise AudioError(f"{path} lasts {lasts}; give clips of {SHORTEST} to {LONGEST:.0f} s, models hear 4")
            recording.mono(recording.sampling_rate)
        except AudioError as error:
            return str(error), []
        losses = [str(warning.message) for warning in caught if issubclass(warning.category, AudioWarning)]
        return pcm_fingerprint(recording.waveform, recording.sampling_rate), losses
