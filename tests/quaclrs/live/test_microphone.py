"""A microphone that comes and goes, in place of PortAudio, which test machines lack."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from quaclrs.errors import QuaclrsError
from quaclrs.live import microphone
from quaclrs.live.microphone import Microphone

RATE = 8_000


class PortAudioError(Exception):
    pass


class FakeSoundDevice(SimpleNamespace):
    """The part of sounddevice that is used; its device gives three blocks and goes, and comes back after two looks."""

    def __init__(self) -> None:
        super().__init__(PortAudioError=PortAudioError, looks=0, opened=0)

    def query_devices(self, device, kind):
        if device not in (None, "USB"):
            raise ValueError(f"No input device matching {device!r}")
        return {"name": "USB microphone", "default_samplerate": float(RATE), "max_input_channels": 2}

    def _terminate(self) -> None:
        self.looks += 1

    def _initialize(self) -> None: ...

    def InputStream(self, *, callback, blocksize, **options):
        if 0 < self.looks < 3:
            raise PortAudioError("Error querying device -1")
        self.opened += 1
        number = self.opened

        def play() -> None:
            for value in range(3):
                block = np.full((blocksize, options["channels"]), number + value / 10, np.float32)
                block[:, 1:] = 0  # the first channel alone is heard
                callback(block, blocksize, None, None)
                time.sleep(0.01)

        def close() -> None:
            raise PortAudioError("Device unavailable")

        return SimpleNamespace(start=threading.Thread(target=play, daemon=True).start, close=close)


@pytest.fixture
def library(monkeypatch) -> FakeSoundDevice:
    fake = FakeSoundDevice()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    monkeypatch.setattr(microphone, "_GONE_AFTER", 0.2)
    monkeypatch.setattr(microphone, "_LOOK_EVERY", 0.01)
    return fake


def test_a_device_that_disappears_is_waited_for_and_listening_goes_on(library):
    told: list[str] = []
    source = Microphone("USB", tell=told.append)
    assert (source.name, source.sampling_rate) == ("USB microphone", RATE)
    blocks = list(itertools.islice(source, 6))
    assert [float(block[0]) for block in blocks] == pytest.approx([1, 1.1, 1.2, 2, 2.1, 2.2])
    assert all(block.shape == (800,) for block in blocks)
    assert told == ["USB microphone is gone; waiting for it", "USB microphone is back"]
    assert library.looks == 3


def test_a_machine_that_is_too_slow_leaves_out_the_oldest_and_says_so(library, monkeypatch):
    monkeypatch.setattr(microphone, "_MOST_WAITING", 1)
    told: list[str] = []
    source = iter(Microphone(tell=told.append))
    time.sleep(0.3)
    assert float(next(source)[0]) == pytest.approx(1.2)
    assert told == ["0.2 s were left out: this machine is too slow"]


def test_a_device_that_is_not_there_is_named_in_one_line(library):
    with pytest.raises(QuaclrsError, match="the microphone 'Bluetooth' cannot be opened"):
        Microphone("Bluetooth")


@pytest.mark.parametrize(("channel", "level"), [(1, 1.0), (2, 0.0), (None, 0.5)])
def test_a_channel_or_the_mean_of_all_is_heard(channel, level, library):
    block = next(iter(Microphone("USB", channel=channel, tell=list)))
    np.testing.assert_array_equal(block, np.full(800, level, np.float32))
