"""Were the clips of an evaluation kept from the model?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .training_data import TrainingData, names_a_recording

if TYPE_CHECKING:
    from .evaluation_clips import EvaluationClips


@dataclass(frozen=True)
class HeldOut:
    """Answer to whether a model has heard clips.

    Attributes:
        answer: True where it has heard none of them, False where it has, None where nobody can tell.
        by: what clips were known by: `recording`, `clip`, or `file name and samples`.
        heard: clips that it has learned from; by recording and file name, also others of their recordings.
        warnings: reasons why figures on them are not a test.
        unknown: why nobody can tell.
    """

    answer: bool | None
    by: str
    heard: int = 0
    warnings: tuple[str, ...] = ()
    unknown: str = "the model does not say what it has heard"


#: Of files with names of their own.
_RENAMED = "none of these files has the name or the samples of a clip that it heard, but both can be changed"


def find_held_out(clips: EvaluationClips, known: TrainingData) -> HeldOut:
    """Compare the clips of an evaluation with what a model says that it has heard.

    Files are known by their names, and where these name no recording by their samples: they are decoded for it.
    """
    is_urbansound13 = {"clip_id", "recording_id"} <= set(clips.rows.column_names)
    if is_urbansound13:
        by = "clip" if clips.protocol == "paper" else "recording"
        heard = known.has_heard(clips.rows, clips.protocol)
    else:
        by = "file name and samples"
        heard = known.has_heard_files(clips.clip_ids) | known.has_heard_files(clips.files)
        names = zip(clips.clip_ids, clips.files, strict=True)
        named = np.array([names_a_recording(clip_id) or names_a_recording(file) for clip_id, file in names])
        if known.contents.size:
            undecided = np.flatnonzero(~heard & ~named)
            heard[undecided] = known.has_heard_contents(clips.digests(undecided.tolist()))
    if heard.any():
        which = f"{heard.sum()} of these {len(clips)} clips, known by {by}"
        return HeldOut(False, by, int(heard.sum()), (f"no test: the model has heard {which}; {known.kept_from}",))
    if not known.complete:
        every_clip = is_urbansound13 and clips.fold is None
        advice = "every clip is evaluated, and the model may have trained on some; give --fold"
        return HeldOut(None, by, warnings=(advice,) if every_clip else ())
    if not is_urbansound13 and not named.all():
        return HeldOut(None, by, unknown=_RENAMED)
    validated = [(training.get("protocol"), training.get("validation_fold")) for training in known.trainings]
    if clips.split == "test" and (clips.protocol, clips.fold) in validated:
        optimistic = (
            f"fold {clips.fold} chose an epoch or offsets in the model's training, so its figures are optimistic"
        )
        return HeldOut(True, by, warnings=(optimistic,))
    return HeldOut(True, by)
