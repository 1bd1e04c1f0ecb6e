"""What a visitor's microphone hears now: label, level and a spectrogram that moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
import soxr
import torch
from analysis import classifier_of

from quaclrs import QuaclrsError
from quaclrs.audio import read_mono
from quaclrs.live import Listener, LiveLabel

#: Seconds of a piece of the stream at most: more is no microphone.
_LONGEST_PIECE = 10.0

#: Pixels of a cell of the spectrogram, and levels in dBFS between which the bar moves.
_ZOOM, _QUIET, _LOUD = 2, -80.0, 0.0


@dataclass
class Session:
    """One visitor's stream: who listens to it, and its last seconds."""

    listener: Listener
    rate: int
    answer: LiveLabel | None = None
    heard: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.float32))


def hear_piece(session: Session | None, model: str, file: str | None) -> Session | None:
    """Take the next piece of a stream, a sound file; a new session where there is none, or the rate is another."""
    if not file:
        return session
    piece = read_mono(file, Path(file).name, _LONGEST_PIECE)
    classifier = classifier_of(model)
    if session is None or session.rate != piece.sampling_rate:
        session = Session(Listener(classifier, piece.sampling_rate), piece.sampling_rate)
    waveform = piece.waveform[0]
    for answer in session.listener(waveform):
        session.answer = answer
    kept = round(classifier.log_mel_config.duration * session.rate)
    session.heard = np.concatenate([session.heard, waveform])[-kept:]
    return session


def words_of(session: Session | None) -> str:
    """Label, score and level as HTML."""
    answer = session.answer if session else None
    if answer is None:
        return "<p class='live'>listening …</p>"
    return (
        f"<p class='live'><b id='live-label'>{answer.label.replace('_', ' ')}</b> {answer.score:.0%}</p>"
        f"<meter min='{_QUIET}' max='{_LOUD}' value='{max(answer.level, _QUIET):.1f}' style='width: 100%'></meter>"
        f"<p><span id='live-level'>{answer.level:.0f}</span> dBFS, {answer.seconds:.0f} s</p>"
    )


def spectrogram_of(session: Session | None, model: str) -> np.ndarray | None:
    """The last seconds as a picture (height, width, 3), uint8, now at the right, low frequencies at the bottom."""
    if session is None or not len(session.heard):
        return None
    classifier = classifier_of(model)
    window = classifier.log_mel_config
    waveform = soxr.resample(session.heard, session.rate, window.sampling_rate)[-window.n_samples :]
    waveform = np.pad(waveform, (window.n_samples - len(waveform), 0))
    with torch.inference_mode():
        log_mel = classifier.model.quaclrs.log_mel(torch.from_numpy(waveform).to(classifier.device)).cpu().numpy()
    picture = (matplotlib.colormaps["magma"](log_mel[::-1])[..., :3] * 255).astype(np.uint8)
    return picture.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)


def listen(session: Session | None, model: str, file: str | None) -> tuple[Session | None, str, np.ndarray | None]:
    """The session after a piece, and what the page shows of it; a piece that cannot be heard is passed over."""
    try:
        session = hear_piece(session, model, file)
    except QuaclrsError:
        return session, words_of(session), None
    return session, words_of(session), spectrogram_of(session, model)
