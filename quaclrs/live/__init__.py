"""Listen to a microphone or a stream: rolling windows, labels that do not flicker, clips and messages."""

from __future__ import annotations

from .listening import Listener, ListeningOptions, LiveLabel

__all__ = ["Listener", "ListeningOptions", "LiveLabel"]
