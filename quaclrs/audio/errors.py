"""The error of a sound that cannot be heard, and the warning of one that is heard in part."""

from __future__ import annotations

from ..errors import QuaclrsError, QuaclrsWarning


class AudioError(QuaclrsError):
    """A file that is missing, no audio, empty, or without a usable sample; the message names it."""

    of_one_process = True


class AudioWarning(QuaclrsWarning):
    """A sound that is heard in part, or files that were passed over; the message names them and what is lost."""
