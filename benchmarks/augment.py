"""Cost of each augmentation, beside librosa, torchaudio, audiomentations and torch-audiomentations.

`python -m benchmarks.augment --recordings DIR --noise DIR` prints, for one thread and for two, what each augmentation
adds to the front end at batch 32, what others need for the same, and how far the fast stretch and shift lie from
librosa's. audiomentations and torch-audiomentations take part where they are installed (`pip install -e '.[bench]'`).
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import torch
import torchaudio

from quaclrs import LogMelConfig, LogMelSpectrogram
from quaclrs.augment import (
    AUGMENTATIONS,
    AugmentedLogMel,
    Draws,
    Policy,
    load_policies,
    shipped_policies,
    variant_policy,
    with_background,
)
from quaclrs.errors import CommandParser, report_user_errors
from quaclrs.evaluation.records import add_json_option, command_of, write_record

from .timing import read_clips, run_with_threads, time_in_turn

CONFIG = LogMelConfig()
BATCH = 32

#: Peers that take longer than a millisecond a clip are timed on this many clips.
FEW = 4

Way = tuple[Callable[[], object], int]


def by_librosa(waveforms: np.ndarray) -> dict[str, Way]:
    few, rate = waveforms[:FEW], CONFIG.sampling_rate
    return {
        "time_stretch: librosa": (lambda: [librosa.effects.time_stretch(y, rate=0.8) for y in few], FEW),
        "pitch_shift: librosa": (lambda: [librosa.effects.pitch_shift(y, sr=rate, n_steps=2) for y in few], FEW),
    }


def by_torchaudio(log_mels: torch.Tensor, waveforms: torch.Tensor) -> dict[str, Way]:
    axes = [
        torchaudio.transforms.FrequencyMasking(21, iid_masks=True),
        torchaudio.transforms.TimeMasking(21, iid_masks=True),
    ]
    masks = torch.nn.Sequential(*axes, *axes)
    snr = torch.full((len(waveforms),), 10.0)
    return {
        "spec_augment: torchaudio": (lambda: masks(log_mels[:, None]), len(log_mels)),
        "gaussian_noise: torchaudio.add_noise + randn": (
            lambda: torchaudio.functional.add_noise(waveforms, torch.randn_like(waveforms), snr),
            len(waveforms),
        ),
    }


def by_audiomentations(waveforms: np.ndarray, noise: Path | None) -> dict[str, Way]:
    import audiomentations as a

    kinds: dict[str, Callable] = {
        "time_stretch": a.TimeStretch(0.8, 1.2, leave_length_unchanged=False, p=1),
        "pitch_shift": a.PitchShift(-2, 2, p=1),
        "gaussian_noise": a.AddGaussianSNR(5, 15, p=1),
        "gain": a.Gain(-6, 6, p=1),
        "time_shift": a.Shift(-0.5, 0.5, shift_unit="seconds", rollover=False, p=1),
        "equalizer": a.SevenBandParametricEQ(p=1),
    }
    if noise is not None:
        kinds["background_noise"] = a.AddBackgroundNoise(noise, 0, 20, p=1)
    return {
        f"{name}: audiomentations": (
            lambda kind=kind: [kind(samples=y, sample_rate=CONFIG.sampling_rate) for y in waveforms[:FEW]],
            FEW,
        )
        for name, kind in kinds.items()
    }


def by_torch_audiomentations(waveforms: torch.Tensor, noise: Path | None) -> dict[str, Way]:
    import torch_audiomentations as t

    options = {"p": 1.0, "sample_rate": CONFIG.sampling_rate, "output_type": "tensor"}
    kinds: dict[str, Callable] = {
        "pitch_shift": t.PitchShift(-2, 2, **options),
        "gaussian_noise": t.AddColoredNoise(5, 15, min_f_decay=0, max_f_decay=0, **options),
        "gain": t.Gain(-6, 6, **options),
        "time_shift": t.Shift(-0.5, 0.5, shift_unit="seconds", rollover=False, **options),
    }
    if noise is not None and importlib.util.find_spec("torchcodec"):  # it decodes by torchcodec, which needs FFmpeg
        kinds["background_noise"] = t.AddBackgroundNoise(noise, 0, 20, **options)
    ways: dict[str, Way] = {}
    for name, kind in kinds.items():
        clips = FEW if name == "pitch_shift" else len(waveforms)
        ways[f"{name}: torch-audiomentations"] = (lambda k=kind, n=clips: k(waveforms[:n, None]), clips)
    return ways


def ours(waveforms: torch.Tensor, noise: Path | None) -> dict[str, Way]:
    """The front end alone, with each augmentation on every clip, and with the shipped policies as they are."""
    front_end, draws = LogMelSpectrogram(CONFIG), Draws(range(len(waveforms)))
    lengths = [waveforms.shape[1]] * len(waveforms)
    policies = {name: Policy({name: {}}) for name in AUGMENTATIONS if name != "mixup"}
    policies |= {f"policy {name}": load_policies(name)[0] for name in shipped_policies()}
    policies = {
        name: with_background(policy, None if noise is None else str(noise)) for name, policy in policies.items()
    }
    ways: dict[str, Way] = {"front end": (lambda: front_end(waveforms), len(waveforms))}
    for name, policy in policies.items():
        options = policy.augmentations.get("background_noise")
        if options is not None and "recordings" not in options:
            continue
        augment = AugmentedLogMel(policy, front_end)
        ways[name] = (lambda augment=augment: augment(waveforms, lengths, draws), len(waveforms))
    mixup = AugmentedLogMel(Policy({"mixup": {}}), front_end)
    ways["mixup"] = (lambda: mixup(waveforms, lengths, draws, waveforms.flip(0), lengths), len(waveforms))
    return ways


def print_distances(clips: list[np.ndarray]) -> list[dict]:
    """Median difference from librosa's log-mels in dB over cells above the floor, ours and librosa's with half the hop.

    Returns:
        A row of each variant.
    """
    rows = []
    front_end = LogMelSpectrogram(CONFIG)

    def log_mel(clip: np.ndarray) -> np.ndarray:
        return front_end(torch.from_numpy(CONFIG.fit(clip))).numpy()

    def stretch(clip: np.ndarray, rate: float, hop: int) -> np.ndarray:
        return librosa.effects.time_stretch(clip, rate=rate, hop_length=hop)

    def shift(clip: np.ndarray, semitones: float, hop: int) -> np.ndarray:
        return librosa.effects.pitch_shift(clip, sr=CONFIG.sampling_rate, n_steps=semitones, hop_length=hop)

    print("median difference from librosa's log-mel, dB: fast; librosa with a hop of 256 instead of 512")
    for variant, by_librosa, value in (
        ("timestretch_0.8", stretch, 0.8),
        ("timestretch_1.2", stretch, 1.2),
        ("pitchshift_-2", shift, -2),
        ("pitchshift_2", shift, 2),
    ):
        augment = AugmentedLogMel(variant_policy(variant), front_end)
        found: dict[str, list[np.ndarray]] = {"fast": [], "hop 256": []}
        for clip in clips:
            expected = log_mel(by_librosa(clip, value, 512))
            fast = augment(torch.from_numpy(clip)[None], [len(clip)], Draws([0]))[0].numpy()
            for how, made in (("fast", fast), ("hop 256", log_mel(by_librosa(clip, value, 256)))):
                found[how].append(CONFIG.top_db * np.abs(made - expected)[(made > 0) | (expected > 0)])
        medians = {how: float(np.median(np.concatenate(of_clips))) for how, of_clips in found.items()}
        print(f"{variant:<18}{medians['fast']:>8.2f}{medians['hop 256']:>8.2f}")
        rows.append({"variant": variant, "fast_db": medians["fast"], "half_hop_db": medians["hop 256"]})
    return rows


@torch.inference_mode()
def print_tables(clips: list[np.ndarray], noise: Path | None, threads: int, rounds: int) -> list[dict]:
    """Time and print all augmentations; a row of each."""
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    waveforms = torch.from_numpy(np.stack([CONFIG.fit(clip) for clip in clips]))
    own = ours(waveforms, noise)
    peers = by_librosa(waveforms.numpy()) | by_torchaudio(LogMelSpectrogram(CONFIG)(waveforms), waveforms)
    if importlib.util.find_spec("audiomentations"):
        peers |= by_audiomentations(waveforms.numpy(), noise)
    if importlib.util.find_spec("torch_audiomentations"):
        peers |= by_torch_audiomentations(waveforms, noise)
    found = time_in_turn(own | peers, rounds)
    plain = found["front end"]
    print(f"front end alone: {plain.median:.3f} ms a clip at batch {len(waveforms)}")
    rows = []
    print("on every clip, ms a clip" + " " * 21 + "ours adds   of the front end   others")
    for name in own:
        if name == "front end":
            continue
        added = found[name].median - plain.median
        # Below a fiftieth of a millisecond the difference of two timings is noise.
        times = {p.split(": ")[1]: found[p].median / max(added, 0.02) for p in peers if p.startswith(f"{name}: ")}
        others = "; ".join(f"{peer} {ratio:.1f} x" for peer, ratio in times.items())
        print(f"{name:<42}{added:>9.3f}{added / plain.median:>15.0%}   {others}")
        rows.append({"threads": threads, "augmentation": name, "ms": added, "share": added / plain.median, **times})
    return rows


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m benchmarks.augment", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="folder of recordings; seeded noise without it")
    parser.add_argument("--noise", type=Path, metavar="DIR", help="folder of background recordings")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N", help="default: 1 2")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each way (default 5)")
    parser.add_argument("--child", type=int, help="this process's number of threads; set by the parent")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    clips = read_clips(options.recordings, BATCH, CONFIG.sampling_rate, CONFIG.duration)
    if options.child is None:
        given = sys.argv[1:] if arguments is None else arguments
        status = run_with_threads("benchmarks.augment", given, options.threads, options.json)
        rows = print_distances([clip for clip in clips if len(clip) >= CONFIG.n_fft])
    else:
        status, rows = 0, print_tables(clips, options.noise, options.child, options.rounds)
    write_record(options.json, command_of(parser, arguments), rows, add=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
