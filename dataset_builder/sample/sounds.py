"""The sounds of each class: a table of tones and noises, when they sound and how they are coloured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import fft

#: Samples per second at which sounds are synthesised; the front end looks no higher than 8 kHz.
SYNTHESIS_RATE = 20_000

Range = tuple[float, float]


@dataclass(frozen=True)
class Layer:
    """A tone or a noise that sounds throughout, or in events. Every range is drawn from once for each recording.

    Args:
        level: loudness beside the other layers of the class, RMS.
        chance: share of the recordings that have the layer.
        pitch: Hz of the tone; None is a noise.
        slope: harmonic k has the amplitude 1 / k**slope, the power of a noise falls as 1 / f**slope.
        breath: loudness of a noise that is added to the tone.
        chord: semitones from the pitch to each tone that sounds at once.
        notes: semitones above the pitch, one of which each event takes.
        spread: semitones by which events differ in pitch.
        bend: octaves by which the pitch rises in an event, up to the share `peak` of its length, and falls again.
        steepness: 1 glides, more jumps.
        wobble: octaves by which the pitch wanders.
        length, gap: seconds of an event and of the pause after it; without length the layer sounds throughout.
        jitter: share by which single events differ from that.
        attack: seconds in which an event rises, and falls at its end.
        decay: seconds in which an event falls by 60 dB.
        band: the lowest and the highest frequency in Hz.
        formants: centre frequencies of resonances in Hz.
        sharpness: quality factor of the formants.
    """

    level: Range = (1.0, 1.0)
    chance: float = 1.0
    pitch: Range | None = None
    slope: Range = (0.0, 0.0)
    breath: Range | None = None
    chord: tuple[Range, ...] = ((0.0, 0.0),)
    notes: tuple[float, ...] = (0.0,)
    spread: float = 0.0
    bend: Range = (0.0, 0.0)
    peak: Range = (0.5, 0.5)
    steepness: float = 1.0
    wobble: float = 0.0
    length: Range | None = None
    gap: Range = (0.0, 0.0)
    jitter: float = 0.0
    attack: float = 0.02
    decay: Range | None = None
    band: tuple[Range, Range] | None = None
    formants: tuple[Range, ...] = ()
    sharpness: Range = (3.0, 6.0)


_ROAD = Layer((0.02, 0.3), slope=(1, 2))
_SIREN = Layer(pitch=(500, 750), slope=(0.8, 1.2), wobble=0.03, attack=0.005)
_CHILD = Layer(
    (0.2, 1), pitch=(240, 480), slope=(0.7, 1.3), breath=(0.03, 0.3), spread=5, bend=(-0.4, 0.4), length=(0.15, 0.4),
    gap=(0.1, 0.6), jitter=0.7, attack=0.04, formants=((350, 1000), (1000, 2900), (2900, 3700)), sharpness=(5, 10),
)  # fmt: skip
_CAR = Layer(slope=(0.5, 1.2), band=((150, 500), (1500, 5000)), length=(1, 2), gap=(0.2, 1.5), jitter=0.3, attack=0.5)

SOUNDS: dict[str, tuple[Layer, ...]] = {
    "air_conditioner": (
        Layer((0.3, 0.8), pitch=(100, 120), slope=(1, 1), wobble=0.003),  # the mains
        Layer((0.3, 0.8), pitch=(60, 240), slope=(1.2, 1.2), wobble=0.006),  # the blades of the fan
        Layer(slope=(0, 0.8), band=((80, 200), (3500, 9000))),
    ),
    "ambulance": (  # high and low
        replace(_SIREN, pitch=(420, 600), slope=(1.2, 1.7), bend=(0.3, 0.5), steepness=8, length=(0.8, 1.4)),
        _ROAD,
    ),
    "car_horn": (
        Layer(
            pitch=(360, 440), slope=(0.2, 0.4), chord=((0, 0), (2.7, 4.3)), length=(0.4, 1.5), gap=(0.1, 0.4),
            jitter=0.6,
        ),
        Layer((0.02, 0.15), slope=(1.5, 1.5)),
    ),
    "children_playing": (
        *(5 * (_CHILD,)),
        replace(_CHILD, level=(0.2, 0.6), chance=0.7, pitch=(800, 1300), gap=(1, 3), bend=(0.1, 0.6)),  # shrieks
        Layer((0.1, 0.4), slope=(1, 1), band=((300, 500), (1500, 2500))),
    ),
    "dog_bark": (
        Layer(
            pitch=(120, 640), slope=(0.6, 0.6), breath=(0.2, 0.9), spread=1, bend=(0.5, 0.9), peak=(0.2, 0.4),
            length=(0.12, 0.35), gap=(0.15, 0.8), jitter=0.5, decay=(0.3, 0.9), wobble=0.05,
            formants=((450, 750), (1100, 1700), (2300, 3200)),
        ),
    ),
    "drilling": (
        Layer((0.3, 0.8), pitch=(170, 520), slope=(0.3, 0.9), wobble=0.15),
        Layer((0.3, 0.8), band=((900, 2200), (5000, 10000))),
        Layer((0.5, 1.5), chance=0.4, band=((900, 2200), (5000, 10000)), length=(0.6, 2.5), gap=(0.2, 0.6), jitter=0.5),
    ),
    "engine_idling": (
        Layer(
            slope=(1.2, 1.6), length=(0.033, 0.083), jitter=0.05, decay=(0.03, 0.1), attack=0.002,
            formants=((50, 120), (150, 350), (450, 1100)), sharpness=(1, 3),
        ),
        Layer((0.02, 0.1), pitch=(200, 600), slope=(1, 1), wobble=0.05),  # the belt
        Layer((0.05, 0.3), slope=(1, 1), band=((100, 100), (1000, 2500))),
    ),
    "firetruck": (  # a low wail, and often an air horn
        Layer(pitch=(180, 280), slope=(0.5, 0.8), bend=(1.2, 1.6), peak=(0.3, 0.6), wobble=0.03, length=(3.5, 6)),
        Layer(
            (0.3, 0.9), chance=0.5, pitch=(140, 260), slope=(0.6, 0.6), chord=((0, 0), (3, 4.5), (6.5, 8)),
            length=(0.3, 1.3), gap=(0.1, 1), jitter=0.4,
        ),
        _ROAD,
    ),
    "gun_shot": (  # the blast, and the echo of the street
        Layer(length=(1.4, 2.4), jitter=0.4, attack=0.0005, decay=(0.1, 0.3)),
        Layer((0.5, 1), slope=(0.5, 1), length=(1.4, 2.4), jitter=0.4, attack=0.005, decay=(1, 2)),
    ),
    "jackhammer": (
        Layer(
            length=(0.066, 0.14), jitter=0.04, attack=0.0005, decay=(0.03, 0.09), sharpness=(3, 15),
            formants=((300, 800), (800, 2000), (1500, 3500), (3000, 6000)),
        ),
        Layer((0.05, 0.25), band=((1200, 1200), (20000, 20000))),
        Layer((0.05, 0.2), slope=(1.5, 1.5), band=((30, 30), (300, 300))),
    ),
    "police": (  # wail, in half of the recordings with a yelp
        replace(_SIREN, bend=(0.6, 1.3), length=(1.0, 2.6)),
        replace(_SIREN, chance=0.5, bend=(0.6, 1.3), length=(0.22, 0.45)),
        _ROAD,
    ),
    "street_music": (  # a melody over chords, mostly with a drum
        Layer(
            pitch=(220, 415), slope=(0.6, 1.8), notes=(0, 2, 4, 5, 7, 9, 12), length=(0.15, 0.5), jitter=0.1,
            wobble=0.003, decay=(0.6, 4),
        ),
        Layer(
            (0.3, 0.9), pitch=(110, 208), slope=(0.6, 1.2), chord=((0, 0), (3, 4), (7, 7)), notes=(0, 0, 5, 7, 9),
            length=(0.6, 1), decay=(1, 2.5), attack=0.005,
        ),
        Layer((0.3, 0.8), chance=0.75, band=((3000, 3000), (20000, 20000)), length=(0.3, 0.5), decay=(0.06, 0.2)),
    ),
    "traffic": (
        Layer((0.15, 0.4), slope=(1.2, 2), band=((30, 30), (600, 2000))),
        *(2 * (_CAR,)),
        replace(_CAR, level=(0.1, 0.8), pitch=(45, 130)),
    ),
}  # fmt: skip


def samples_in(seconds: float) -> int:
    """Number of samples, at least one, that last `seconds` at the synthesis rate."""
    return max(1, round(seconds * SYNTHESIS_RATE))


def synthesise(class_name: str, rng: np.random.Generator, samples: int) -> np.ndarray:
    """The sound of a class, float (samples,) at the synthesis rate, at any level; another generator gives another."""
    layers = [layer for layer in SOUNDS[class_name] if rng.random() < layer.chance]
    return np.sum([rng.uniform(*layer.level) * _sound(rng, layer, samples) for layer in layers], axis=0)


def frequencies(samples: int) -> np.ndarray:
    """Hz of the bins of a spectrum of so many samples, which is padded to a length that is transformed fast."""
    return fft.rfftfreq(fft.next_fast_len(samples, real=True), 1 / SYNTHESIS_RATE).astype(np.float32)


def filtered(waveform: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """The waveform (samples,) with each of its `frequencies` multiplied by a gain, float32."""
    size = fft.next_fast_len(len(waveform), real=True)
    return fft.irfft(fft.rfft(waveform.astype(np.float32), size) * gains, size)[: len(waveform)]


def noise(rng: np.random.Generator, samples: int, slope: float, gains: np.ndarray | float = 1.0) -> np.ndarray:
    """Gaussian noise (samples,) of unit RMS whose power falls as 1 / f**slope: 0 is white, 1 pink, 2 brown; float32."""
    frequency = frequencies(samples)
    spectrum = rng.standard_normal(2 * len(frequency), dtype=np.float32).view(np.complex64)
    # Below 20 Hz the power stays level: brown noise would otherwise be one slow wave that swallows the RMS.
    spectrum *= gains * np.maximum(frequency, 20) ** np.float32(-slope / 2)
    sound = fft.irfft(spectrum, fft.next_fast_len(samples, real=True))[:samples]
    return sound / np.std(sound)


def _wandering(rng: np.random.Generator, samples: int, points_per_second: float) -> np.ndarray:
    """Random curve in [-1, 1] with about that many turning points a second."""
    count = max(2, round(samples / SYNTHESIS_RATE * points_per_second) + 2)
    return np.interp(np.arange(samples), np.linspace(0, samples - 1, count), rng.uniform(-1, 1, count))


def _sound(rng: np.random.Generator, layer: Layer, samples: int) -> np.ndarray:
    """A layer at unit RMS while it sounds."""
    event, since, lengths = _events(rng, layer, samples)
    slope, gains = rng.uniform(*layer.slope), _gains(rng, layer, samples)
    if layer.pitch is None:
        sound = noise(rng, samples, slope, gains)
    else:
        octaves = _octaves(rng, layer, event, since / lengths[event])
        pitch = rng.uniform(*layer.pitch) * 2 ** (octaves + layer.wobble * _wandering(rng, samples, 3))
        sound = np.sum([_tone(rng, pitch * 2 ** (rng.uniform(*step) / 12), slope) for step in layer.chord], axis=0)
        if layer.breath:
            sound = sound / np.std(sound) + rng.uniform(*layer.breath) * rng.standard_normal(samples)
        if layer.band or layer.formants:
            sound = filtered(sound, gains)
    envelope = np.clip(np.minimum(since, lengths[event] - since) / layer.attack, 0, 1)
    envelope *= rng.uniform(0.6, 1, len(lengths))[event]
    if layer.decay:
        envelope *= np.exp(since * (-6.9 / rng.uniform(*layer.decay)))
    return sound / np.std(sound) * envelope


def _octaves(rng: np.random.Generator, layer: Layer, event: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Octaves above the pitch at every sample, from the event that it lies in and the share of it that is over."""
    count, peak = event[-1] + 1, rng.uniform(*layer.peak)
    semitones = rng.choice(layer.notes, count) + rng.uniform(-layer.spread, layer.spread, count)
    height = np.minimum(share / peak, (1 - share) / (1 - peak))
    height = np.clip((height - 0.5) * layer.steepness + 0.5, 0, 1)  # also 0 in the pause after an event
    return semitones[event] / 12 + rng.uniform(*layer.bend) * height


def _events(rng: np.random.Generator, layer: Layer, samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find for every sample the event that began last and the seconds since; for every event its length in seconds."""
    seconds = np.arange(samples) / SYNTHESIS_RATE
    if layer.length is None:  # one event that began before and ends after
        return np.zeros(samples, int), seconds + 1, np.array([samples / SYNTHESIS_RATE + 2])
    length, gap = rng.uniform(*layer.length), rng.uniform(*layer.gap)
    count = int(seconds[-1] / (length + gap) / (1 - layer.jitter)) + 3
    lengths, gaps = (mean * rng.uniform(1 - layer.jitter, 1 + layer.jitter, count) for mean in (length, gap))
    starts = np.cumsum(lengths + gaps) - lengths[0] - gaps[0] - rng.random() * (lengths[0] + gaps[0])
    event = np.searchsorted(starts, seconds, side="right") - 1
    return event, seconds - starts[event], lengths


def _tone(rng: np.random.Generator, pitch: np.ndarray, slope: float, size: int = 4096) -> np.ndarray:
    """Tone with uneven harmonics whose pitch in Hz moves, read from a table of one period; nothing aliases."""
    count = int(min(30, 0.48 * SYNTHESIS_RATE / pitch.max()))
    spectrum = np.zeros(size // 2 + 1, complex)
    spectrum[1 : count + 1] = 1j * np.arange(1, count + 1) ** -slope * rng.uniform(0.3, 1, count)
    turns = rng.random() + np.cumsum(pitch) / SYNTHESIS_RATE
    return fft.irfft(spectrum, size).astype(np.float32)[(turns * size).astype(int) % size]


def _gains(rng: np.random.Generator, layer: Layer, samples: int) -> np.ndarray:
    """Gain of the band and the resonances of a layer, at `frequencies`; 1 where it has neither."""
    frequency = np.maximum(frequencies(samples), 1)
    gains = np.ones_like(frequency)
    if layer.band:
        low, high = (np.float32(rng.uniform(*edge)) for edge in layer.band)
        gains = 1 / np.sqrt((1 + (low / frequency) ** 4) * (1 + (frequency / high) ** 4))
    if layer.formants:
        sharpness = np.float32(rng.uniform(*layer.sharpness))
        centres = [np.float32(rng.uniform(*formant)) for formant in layer.formants]
        gains = gains * sum(1 / np.hypot(1, sharpness * (frequency / c - c / frequency)) for c in centres)
    return gains
