"""Clips that hold the same samples under several names: one is kept, the others are listed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from quaclrs.labels import URBANSOUND8K

from ..sources.report import SourceReport
from .folds import natural_order


def leave_out_duplicates(reports: Sequence[SourceReport]) -> list[SourceReport]:
    """Keep one of the clips of equal samples in the sources whose recordings are not known, and note the others.

    UrbanSound8K is never deduplicated, and neither are clips that came with a recording of their own.

    Args:
        reports: with `fingerprints`.

    Returns:
        The reports without duplicates; `duplicates` lists them, `notes` what a person should look at: equal clips in
        two classes, and clips that UrbanSound8K holds too.
    """
    found = [clip for report in reports for clip in report.clips if clip.recording_id is None]
    prints = {clip_id: value for report in reports for clip_id, value in report.fingerprints.items()}
    duplicates = find_exact_duplicates({clip.clip_id: prints[clip.clip_id] for clip in found})
    conflicts = conflicting_labels(duplicates, {clip.clip_id: clip.label for clip in found})
    official = {name: value for name, value in prints.items() if name.startswith(f"{URBANSOUND8K}/")}
    copies = copies_of_reference({clip.clip_id: prints[clip.clip_id] for clip in found}, official)
    return [
        replace(
            report,
            clips=[clip for clip in report.clips if clip.clip_id not in duplicates],
            duplicates={c: kept for c, kept in duplicates.items() if c in report.fingerprints},
            notes=report.notes
            + [f"{c} and {k} are one sound in two classes" for c, k in conflicts.items() if c in report.fingerprints]
            + [f"{c} is also {k}, in its official fold" for c, k in copies.items() if c in report.fingerprints],
        )
        for report in reports
    ]


def pcm_fingerprint(waveform: np.ndarray, rate: int) -> bytes:
    """Hash that two clips share exactly when they decode to the same sound.

    Args:
        waveform: float (channels, samples) as decoded, neither mixed nor resampled.
        rate: sampling rate in Hz.

    Returns:
        A SHA-256 of shape, rate and float32 samples, 32 bytes: so a WAV and its FLAC agree, and a clip and its louder,
        shifted, resampled or re-encoded copy do not (those are grouped, not dropped).
    """
    digest = hashlib.sha256(f"{waveform.shape} {rate}".encode())
    for channel in waveform:  # one at a time, as a long clip is large
        digest.update(channel.astype("<f4") + np.float32(0))  # makes -0.0, which some decoders give, 0.0
    return digest.digest()


def find_exact_duplicates(fingerprints: Mapping[str, bytes]) -> dict[str, str]:
    """Find the clips to leave out because another one holds the same samples.

    Of equal clips the first in natural order of the ids is kept (`sound_2` before `sound_10`), whatever the order in
    which they are given, also when they bear different class names: see `conflicting_labels`.

    Args:
        fingerprints: clip_id -> `pcm_fingerprint`. UrbanSound8K's clips do not belong here, it is never deduplicated.

    Returns:
        Clip_id of a duplicate -> clip_id of the one that is kept, in natural order.
    """
    kept: dict[bytes, str] = {}
    in_order = sorted(fingerprints, key=natural_order)
    return {c: first for c in in_order if (first := kept.setdefault(fingerprints[c], c)) != c}


def conflicting_labels(duplicates: Mapping[str, str], label_of_clip: Mapping[str, str]) -> dict[str, str]:
    """The duplicates that lie in another class than the clip that is kept.

    At most one of the two labels is right, or the sound holds both, and nothing in the files tells which. Keeping both
    would teach a contradiction, or test on what was trained; so one is kept as any duplicate is, and these are to be
    shown, for a person to remove the wrong file.

    Args:
        duplicates: what `find_exact_duplicates` found.
        label_of_clip: class of every clip, by clip_id.
    """
    return {d: kept for d, kept in duplicates.items() if label_of_clip[d] != label_of_clip[kept]}


def copies_of_reference(fingerprints: Mapping[str, bytes], reference: Mapping[str, bytes]) -> dict[str, str]:
    """Clips that hold the same samples as a clip of a data set that stays as it is.

    A new-class clip equal to one of UrbanSound8K may lie in another fold than that one, under another class.

    Args:
        fingerprints: of the new clips, by clip_id.
        reference: of UrbanSound8K's clips, by clip_id.

    Returns:
        Clip_id -> clip_id in the reference, the first in natural order.
    """
    first: dict[bytes, str] = {}
    for clip_id in sorted(reference, key=natural_order):
        first.setdefault(reference[clip_id], clip_id)
    return {c: first[fingerprints[c]] for c in sorted(fingerprints, key=natural_order) if fingerprints[c] in first}
