"""Search for clips cut from one recording, by sound alone: sireNNet names no recordings.

Two clips belong together when a short template of one appears in the other: the highest normalised cross-correlation
over all lags. Three stages keep it affordable: magnitude spectra, which no lag can change, name the candidates; an FFT
correlation finds the lag; and a template too simple to tell two recordings apart, such as a steady tone, is believed
only if what lies under the tone agrees too. Clips that share no sound are found where one goes on as another ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.fft
import scipy.signal
import soxr
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..errors import QuaclrsError
from .correlation import correlations, degrees_of_freedom, refined, whitened, whitening_filter
from .seams import ClipEnds, SeamConfig, clip_ends, find_seams

_SAMPLES_PER_COEFFICIENT = 24


@dataclass(frozen=True)
class GroupingConfig:
    """Every parameter of the search; durations in seconds, frequencies in Hz, correlations in [0, 1]."""

    sampling_rate: int = 4000  # sirens and engines have their energy below 2 kHz
    lowest_frequency: float = 20.0  # a constant offset or wind rumble below it would correlate with any other
    template_duration: float = 0.75
    template_hop: float = 0.375
    end_duration: float = 0.5  # of the templates at both ends: the shortest overlap of two slices that is found
    shortest_template: float = 0.25  # a clip shorter than a template is one itself, down to this
    threshold: float = 0.88  # correlation from which two clips share a recording: 0.9 and a margin for other grids
    silence_db: float = -50.0  # quieter stretches, relative to the clip's loudest template, are not compared
    min_degrees_of_freedom: float = 16.0  # a template with fewer is a tone, compared whitened, or a click, not compared
    whitened_threshold: float = 0.4  # correlation of whitened tones: a codec spoils the noise under them
    whitening_order: int = 128  # two for each partial
    frame_hop: float = 0.125  # between the spectra that a template's spectrum is compared with
    sketch_size: int = 256  # numbers that stand for a magnitude spectrum; their error falls with its square root
    sketch_threshold: float = 0.86  # cosine of two sketches from which the waveforms are compared
    coarse_share: float = 0.55  # of a correlation that its envelope at half rate shows; white noise keeps 0.64
    batch_clips: int = 64
    seams: SeamConfig | None = field(default_factory=SeamConfig)  # None: clips that share no sound stay apart

    def __post_init__(self) -> None:
        if not 0 < self.shortest_template <= self.template_duration:
            raise QuaclrsError("shortest_template must lie between 0 and template_duration")
        if not 0 < self.end_duration <= self.template_duration:
            raise QuaclrsError("end_duration must lie between 0 and template_duration")
        if not (self.template_hop > 0 and self.frame_hop > 0):
            raise QuaclrsError("template_hop and frame_hop must be positive")
        if not 0 < self.threshold <= 1:
            raise QuaclrsError(f"threshold must lie in (0, 1], not {self.threshold}")


@dataclass(frozen=True)
class Grouping:
    """Groups of clips that share a recording, and the evidence."""

    #: (clips,) int64, the group of each clip; groups are numbered in order of first appearance.
    labels: np.ndarray
    #: (i, j, correlation, lag in seconds), i < j: what clip i plays at t, clip j plays at t + lag. Sorted.
    pairs: list[tuple[int, int, float, float]]
    #: (i, j, similarity): clip j goes on where clip i ends, though they share no sound. Sorted.
    seams: list[tuple[int, int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class _Template:
    clip: int
    start: int
    length: int
    narrow: bool  # too few degrees of freedom to tell recordings apart by correlation alone

    def cut(self, waveforms: list[np.ndarray]) -> np.ndarray:
        """Its samples (length,), float32, scaled to unit energy; cut anew each time, as all at once fill memory."""
        samples = waveforms[self.clip][self.start : self.start + self.length].astype(np.float32)
        return samples / np.linalg.norm(samples)


def group_recordings(clips: Iterable[tuple[np.ndarray, int]], config: GroupingConfig | None = None) -> Grouping:
    """Group clips that hold a stretch of the same recording, at whatever lag, gain, polarity, rate or encoding.

    Groups are transitive: two clips that share nothing are in one group when a third overlaps both. Slices of one
    recording that overlap by less than `end_duration` cannot be found, except parts of one odd length (see `seams`).

    Args:
        clips: pairs of a mono waveform, float (samples,), and its sampling rate in Hz. Read once, one at a time;
            what is kept of each is its 4 kHz version in half precision (24 kB for 3 s).
        config: parameters of the search.

    Raises:
        QuaclrsError: a waveform is not one-dimensional or holds NaN or infinity.
    """
    config = config or GroupingConfig()
    waveforms: list[np.ndarray] = []
    ends: list[ClipEnds] = []
    for i, (waveform, rate) in enumerate(clips):
        waveforms.append(_analysis_waveform(waveform, rate, i, config))
        if config.seams:
            ends.append(clip_ends(waveform, rate, config.seams))
    # Templates of the shorter clip are slid over the longer one, so a slice is found inside its recording.
    order = sorted(range(len(waveforms)), key=lambda i: (len(waveforms[i]), i))
    ranked = [waveforms[i] for i in order]
    best = {pair: (1.0, 0.0) for pair in _identical(waveforms)}
    for template, others in _candidates(ranked, config):
        for other, correlation, lag in _matches(template, others, ranked, config):
            i, j = order[template.clip], order[other]
            key, lag = ((i, j), lag) if i < j else ((j, i), -lag)
            if correlation > best.get(key, (0.0, 0.0))[0]:
                best[key] = (correlation, lag)
    pairs = [(i, j, correlation, lag) for (i, j), (correlation, lag) in sorted(best.items())]
    seams = find_seams(ends, config.seams) if config.seams else []
    links = [(i, j) for i, j, _, _ in pairs] + [(i, j) for i, j, _ in seams]
    return Grouping(_connected_groups(links, len(waveforms)), pairs, seams)


def _analysis_waveform(waveform: np.ndarray, rate: int, index: int, config: GroupingConfig) -> np.ndarray:
    """The clip at the analysis rate, without offset and rumble, its peak at 1 whatever its gain; float16 (samples,)."""
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1 or not np.isfinite(waveform).all():
        raise QuaclrsError(f"clip {index} must be one finite channel (samples,), its shape is {waveform.shape}")
    low = soxr.resample(waveform, rate, config.sampling_rate, quality="HQ") if waveform.size else waveform
    if low.size == 0:
        return low.astype(np.float16)
    sos = scipy.signal.butter(2, config.lowest_frequency, "highpass", fs=config.sampling_rate, output="sos")
    low = scipy.signal.sosfilt(sos, low, zi=scipy.signal.sosfilt_zi(sos) * low[0])[0]
    peak = np.abs(low).max(initial=0.0)
    # 1e-5 is below the last bit of 16-bit audio: what is quieter is dither, or silence through a resampler.
    return (low / peak if peak > 1e-5 else np.zeros_like(low)).astype(np.float16)


def _identical(waveforms: list[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Exact copies, each with the first of its kind: too short or too simple a clip is recognised by nothing else."""
    first: dict[bytes, int] = {}
    for i, waveform in enumerate(waveforms):
        if waveform.any() and (original := first.setdefault(hashlib.sha256(waveform.tobytes()).digest(), i)) != i:
            yield original, i


def _starts(length: int, window: int, hop: int) -> list[int]:
    """First samples of windows on a grid, and of one that ends with the clip: overlapping slices share an end."""
    return sorted({*range(0, length - window + 1, hop), length - window})


def _templates(
    clip: int, waveform: np.ndarray, window: int, starts: list[int], config: GroupingConfig
) -> list[_Template]:
    """Select the windows of a clip that can tell recordings apart."""
    cuts = [waveform[start : start + window].astype(np.float32) for start in starts]
    norms = [float(np.linalg.norm(cut)) for cut in cuts]
    floor = max(max(norms) * 10 ** (config.silence_db / 20), 1e-6)
    templates = []
    for start, cut, norm in zip(starts, cuts, norms, strict=True):
        if norm <= floor:
            continue
        spectral, lasting = degrees_of_freedom(cut)
        narrow = spectral < config.min_degrees_of_freedom
        if narrow or spectral * lasting >= config.min_degrees_of_freedom:  # else a click, and any two clicks are alike
            templates.append(_Template(clip, start, window, narrow))
    return templates


def _candidates(waveforms: list[np.ndarray], config: GroupingConfig) -> Iterator[tuple[_Template, np.ndarray]]:
    """Each template with the later clips (others,) worth a correlation."""
    rate = config.sampling_rate
    window, end = round(config.template_duration * rate), round(config.end_duration * rate)
    template_hop, frame_hop = round(config.template_hop * rate), round(config.frame_hop * rate)
    short, full, at_ends = [], [], []
    for clip, x in enumerate(waveforms):
        if len(x) >= window:
            full += _templates(clip, x, window, _starts(len(x), window, template_hop), config)
            at_ends += _templates(clip, x, end, sorted({0, len(x) - end}), config)
        elif len(x) >= config.shortest_template * rate:
            short += _templates(clip, x, len(x), [0], config)
    for template in short:  # its spectrum is coarser: every longer clip is a candidate
        yield template, np.arange(template.clip + 1, len(waveforms))
    frames = [_starts(len(x), window, frame_hop) if len(x) >= window else [] for x in waveforms]
    yield from _alike(waveforms, full, window, frames, config)
    # Two slices that overlap by less than a template share the end of the one and the start of the other.
    reach = range(0, window - end + 1, max(frame_hop * end // window, 1))
    frames = [sorted({s for r in reach for s in (r, len(x) - end - r)}) if len(x) >= window else [] for x in waveforms]
    yield from _alike(waveforms, at_ends, end, frames, config)


def _sketches(frames: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """Magnitude spectra of frames (frames, samples), projected to unit vectors (frames, sketch_size), float32.

    By the triangle inequality the cosine of two magnitude spectra is never below the correlation of the waveforms.
    """
    magnitudes = np.abs(scipy.fft.rfft(frames * np.hanning(frames.shape[1]).astype(np.float32)))
    sketches = magnitudes @ projection
    return sketches / np.maximum(np.linalg.norm(sketches, axis=1, keepdims=True), 1e-12)


def _alike(
    waveforms: list[np.ndarray],
    templates: list[_Template],
    window: int,
    frames: list[list[int]],
    config: GroupingConfig,
) -> Iterator[tuple[_Template, np.ndarray]]:
    """Each template with the later clips (others,) that have a spectrum like its own at one of their frames.

    Args:
        waveforms, templates: all templates are `window` samples long.
        frames: for each waveform the first samples of its frames.
    """
    projection = np.random.default_rng(0).standard_normal((window // 2 + 1, config.sketch_size), dtype=np.float32)
    owner = np.repeat(np.arange(len(waveforms), dtype=np.int32), [len(starts) for starts in frames])
    library = np.empty((len(owner), config.sketch_size), dtype=np.float32)  # filled in place: it is the largest array
    row = 0
    for waveform, starts in zip(waveforms, frames, strict=True):
        if starts:
            cuts = np.stack([waveform[s : s + window] for s in starts]).astype(np.float32)
            library[row : row + len(starts)] = _sketches(cuts, projection)
            row += len(starts)
    rows = 64  # with 200,000 spectra in the library, as of 10,000 clips, a block of cosines is 50 MB
    for first in range(0, len(templates), rows):
        block = templates[first : first + rows]
        begin = int(np.searchsorted(owner, block[0].clip, side="right"))
        queries = _sketches(np.stack([template.cut(waveforms) for template in block]), projection)
        of_query, column = np.nonzero(queries @ library[begin:].T >= config.sketch_threshold)
        bounds = np.searchsorted(of_query, np.arange(1, len(block)))
        for template, columns in zip(block, np.split(owner[begin + column], bounds), strict=True):
            others = np.unique(columns)
            if len(others := others[others > template.clip]):  # a template is whitened at length before it is compared
                yield template, others


def _matches(
    template: _Template, others: np.ndarray, waveforms: list[np.ndarray], config: GroupingConfig
) -> Iterator[tuple[int, float, float]]:
    """The clips that hold the template: (clip, absolute correlation, lag in seconds)."""
    samples = template.cut(waveforms)
    # Fitted to few samples a long filter predicts their noise too, and leaves nothing to recognise them by.
    order = min(config.whitening_order, len(samples) // _SAMPLES_PER_COEFFICIENT)
    whitening = whitening_filter(samples, order) if template.narrow else np.ones(1)
    if template.narrow and degrees_of_freedom(whitened(samples, whitening))[0] < config.min_degrees_of_freedom:
        return  # a synthetic tone with nothing under it
    for first in range(0, len(others), config.batch_clips):
        batch = others[first : first + config.batch_clips]
        # No padding for the template: the lags at which it lies inside the clip do not wrap around.
        size = 2 * scipy.fft.next_fast_len((len(waveforms[batch[-1]]) + 1) // 2)
        clips = np.zeros((len(batch), size), dtype=np.float32)
        for row, other in enumerate(batch.tolist()):
            clips[row, : len(waveforms[other])] = waveforms[other]
        cross, norms = correlations(samples, clips, config.silence_db)
        sought, sought_norms, least = cross, norms, config.threshold
        if template.narrow:  # a tone fits at each of its periods: what lies under it says at which
            white = scipy.signal.lfilter(whitening, 1.0, clips).astype(np.float32)
            sought, sought_norms = correlations(whitened(samples, whitening), white, config.silence_db)
            least = config.whitened_threshold
        # Analytic signal at half the rate: its envelope, unlike the correlation, has no zeros between two lags.
        envelope = np.abs(scipy.fft.ifft(sought[:, :-1])) / sought_norms[:, ::2]
        peaks = 2 * envelope.argmax(axis=1)
        for row in np.flatnonzero(envelope.max(axis=1) >= config.coarse_share * least).tolist():
            start, correlation = refined(sought[row], int(peaks[row]), sought_norms[row])
            if correlation >= least and template.narrow:
                start, correlation = refined(cross[row], round(start), norms[row])
            if correlation >= config.threshold:
                yield int(batch[row]), correlation, (start - template.start) / config.sampling_rate


def _connected_groups(links: list[tuple[int, int]], count: int) -> np.ndarray:
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    rows, columns = [i for i, _ in links], [j for _, j in links]
    graph = coo_array((np.ones(len(links), dtype=bool), (rows, columns)), shape=(count, count))
    components = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(components, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
