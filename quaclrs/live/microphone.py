"""A microphone as blocks of mono samples, by sounddevice (PortAudio): where it disappears, it is waited for."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import QuaclrsError
from ..extras import named_extra
from .streams import BLOCK_SECONDS

#: Seconds without a sample after which a device counts as gone, and between two looks for it.
_GONE_AFTER, _LOOK_EVERY = 2.0, 1.0

#: Blocks that wait at most, ten seconds: where the machine is too slow, the oldest are left out.
_MOST_WAITING = 100


class Microphone:
    """Opens a device, and opens it again when it comes back.

    Args:
        device: number or a part of its name, as `python -m sounddevice` lists them; the system's own where absent.
        sampling_rate: Hz; the device's own where absent.
        channel: which is heard, from 1; None for the mean of all that the device has.
        tell: is told in one line that the device is gone, or back, or that sound was left out.

    Raises:
        QuaclrsError: sounddevice or PortAudio is not installed, or the device does not exist.
    """

    def __init__(
        self,
        device: str | None = None,
        sampling_rate: int | None = None,
        channel: int | None = 1,
        tell: Callable[[str], object] = print,
    ) -> None:
        with named_extra():
            try:
                import sounddevice
            except OSError as error:
                raise QuaclrsError(
                    "PortAudio is not installed; apt install libportaudio2, or send sound to -"
                ) from error
        self._library: Any = sounddevice
        self.device: str | int | None = int(device) if device is not None and device.isdigit() else device
        self._channel, self._tell = channel, tell
        self._waiting: queue.Queue[np.ndarray] = queue.Queue()
        try:
            told = sounddevice.query_devices(self.device, "input")
            self.sampling_rate = int(sampling_rate or told["default_samplerate"])
            self.name: str = told["name"]
            self._channels = int(told["max_input_channels"]) if channel is None else channel  # that are opened
            self._stream = self._opened()
        except Exception as error:  # ValueError for an unknown name, PortAudioError for the rest
            named = "the microphone" if device is None else f"the microphone {device!r}"
            reason = " ".join(str(error).split())
            raise QuaclrsError(f"{named} cannot be opened ({reason}); see `python -m sounddevice`") from error

    def _opened(self) -> Any:
        stream = self._library.InputStream(
            device=self.device,
            samplerate=self.sampling_rate,
            channels=self._channels,
            dtype="float32",
            blocksize=round(BLOCK_SECONDS * self.sampling_rate),
            callback=self._take,
        )
        stream.start()
        return stream

    def _take(self, block: np.ndarray, frames: int, at: Any, status: Any) -> None:
        self._waiting.put(block.mean(axis=1) if self._channel is None else block[:, self._channel - 1].copy())

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield blocks of float32 (samples,) without end."""
        while True:
            if (left_out := self._waiting.qsize() - _MOST_WAITING) > 0:
                for _ in range(left_out):
                    self._waiting.get_nowait()
                self._tell(f"{left_out * BLOCK_SECONDS:.1f} s were left out: this machine is too slow")
            try:
                yield self._waiting.get(timeout=_GONE_AFTER)
            except queue.Empty:
                self._wait_for_it()

    def _wait_for_it(self) -> None:
        self._tell(f"{self.name} is gone; waiting for it")
        while True:
            try:
                self.close()
                self._library._terminate()  # PortAudio lists devices once, when it begins
                self._library._initialize()
                self._stream = self._opened()
                break
            except Exception:  # as above
                time.sleep(_LOOK_EVERY)
        self._tell(f"{self.name} is back")

    def close(self) -> None:
        """Stop listening; errors of a device that is gone do not matter."""
        try:
            self._stream.close()
        except self._library.PortAudioError:
            return
