"""`quaclrs augment`: what augmentation makes of a sound, as one picture (paper, figure 3)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import QuaclrsError, printable
from .one_sound import add_sound_options, only_sound, opened_sound, picture_beside

if TYPE_CHECKING:
    import numpy as np

    from ..models import LogMelConfig

_ENDING = "augmented.png"

#: Draws of a policy that are shown.
_DRAWS = 11


def add_augment_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "augment",
        help="show what augmentation makes of a sound",
        description="Draw a sound's spectrogram beside the paper's twelve variants of it, or draws of a policy.",
    )
    add = parser.add_argument
    add_sound_options(parser, _ENDING)
    add("--policy", metavar="P", help="name of a policy, or a .yaml file; the paper's variants by default")
    add("--background-noise", metavar="DIR", help="recordings that a policy with background noise adds, as street")
    add("--seed", type=int, default=0, metavar="N", help="seed of the draws (default 0)")
    parser.set_defaults(run=run_augment, extra="train")


def run_augment(options: argparse.Namespace) -> int:
    """Write the picture and say where."""
    if options.seed < 0:
        raise QuaclrsError(f"--seed is {options.seed}; it must be 0 or more")
    if options.background_noise and not options.policy:
        raise QuaclrsError("--background-noise has no use without --policy; give one that adds noise, as street")
    from ..audio import load_audio
    from ..evaluation.figures.spectrograms import spectrogram_grid_figure
    from ..evaluation.figures.style import refuse_figure, save_figure
    from ..models import LogMelConfig

    file = only_sound(options.file)
    output = Path(options.output or picture_beside(file, _ENDING))
    refuse_figure(output)
    front_end = LogMelConfig()
    waveform = load_audio(opened_sound(file), front_end.sampling_rate)
    if options.policy is None:
        spectrograms = _variants_of(waveform, options.seed, front_end)
    else:
        spectrograms = _draws_of(options.policy, options.background_noise, waveform, options.seed, front_end)
    save_figure(spectrogram_grid_figure(spectrograms, front_end.duration, front_end), output)
    print(f"{printable(file)}: {len(spectrograms)} spectrograms in {printable(str(output))}")
    return 0


def _variants_of(waveform: np.ndarray, seed: int, front_end: LogMelConfig) -> dict[str, np.ndarray]:
    """The sound under each of the paper's variants, one log-mel each."""
    from ..augment import VARIANTS, VariantLogMel, copy_id
    from ..models import LogMelSpectrogram

    make = VariantLogMel(LogMelSpectrogram(front_end), seed)
    return {name: make(waveform, copy_id("clip", name)).numpy() for name in VARIANTS}


def _draws_of(
    policy: str, noise: str | None, waveform: np.ndarray, seed: int, front_end: LogMelConfig
) -> dict[str, np.ndarray]:
    """The sound as it is and as a policy alters it in as many epochs, one log-mel each."""
    import torch

    from ..augment import AugmentedLogMel, load_policies, with_background
    from ..augment.draws import Draws
    from ..models import LogMelSpectrogram

    log_mel = LogMelSpectrogram(front_end)
    augment = AugmentedLogMel(with_background(load_policies(policy)[0], noise), log_mel)
    if augment.mixup is not None:
        raise QuaclrsError(f"--policy {policy} mixes clips, which needs more than one; leave its mixup out")
    heard = front_end.cut(waveform)
    row = torch.zeros(1, front_end.n_samples)
    row[0, : len(heard)] = torch.from_numpy(heard)
    spectrograms = {"original": log_mel(torch.from_numpy(front_end.fit(waveform))).numpy()}
    for epoch in range(_DRAWS):
        spectrograms[f"draw {epoch + 1}"] = augment(row, [len(heard)], Draws([0], seed, epoch))[0].numpy()
    return spectrograms
