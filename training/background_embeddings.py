"""Make the background that `quaclrs learn` comes with: embeddings of a few clips of many kinds of sound.

`python -m training.background_embeddings --background audio --dataset DIR --output …/background.npz`. Clips of one kind
are of different recordings while there are enough. The file is of one encoder: make it anew where the model in the
package gets another.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from quaclrs.augment.draws import clip_key
from quaclrs.augment.noise_recordings import find_noise
from quaclrs.data import load_urbansound13
from quaclrs.errors import CommandParser, report_user_errors
from quaclrs.inference.loading import load_classifier
from quaclrs.learning.background import Background, save_background
from quaclrs.saved_model import open_saved_model

#: Clips of a kind.
_CLIPS = 5

#: Kind, recording, name and sound of a clip.
Clip = tuple[str, str, str, Any]


def choose(clips: Iterable[Clip], count: int) -> list[Clip]:
    """Choose `count` clips of every kind by a hash of their names, of different recordings while there are enough."""
    of_kind: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        of_kind[clip[0]].append(clip)
    chosen = []
    for kind in sorted(of_kind):
        taken: dict[str, int] = defaultdict(int)
        ranked: list[tuple[int, int, Clip]] = []
        for clip in sorted(of_kind[kind], key=lambda clip: clip_key(clip[2])):
            ranked.append((taken[clip[1]], len(ranked), clip))
            taken[clip[1]] += 1
        chosen += [clip for _, _, clip in sorted(ranked, key=lambda entry: entry[:2])[:count]]
    return chosen


def sounds_of_folder(folder: str, without: Iterable[str]) -> list[Clip]:
    """The sounds of a folder of background, a folder a kind."""
    return [
        (r.category, r.source, Path(r.name).name, r.content)
        for r in find_noise(folder)
        if r.category not in set(without)
    ]


def sounds_of_dataset(dataset: str) -> list[Clip]:
    """The clips of UrbanSound13, of which each class is a kind."""
    rows = load_urbansound13(dataset)
    names = rows.features["label"].names
    columns = (rows[name][:] for name in ("label", "recording_id", "clip_id"))
    return [(names[k], r, c, place) for place, (k, r, c) in enumerate(zip(*columns, strict=True))]


@report_user_errors
def main(arguments: list[str] | None = None) -> int:
    parser = CommandParser(prog="python -m training.background_embeddings", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--background", required=True, metavar="DIR", help="sounds, a folder a kind")
    add("--background-without", default="", metavar="LIST", help="folders of it that are left out")
    add("--dataset", required=True, metavar="DIR_OR_REPO", help="UrbanSound13, whose classes are kinds too")
    add("--model", metavar="DIR_OR_REPO", help="whose encoder embeds (default: the model in the package)")
    add("--output", required=True, type=Path, metavar="FILE", help="background.npz beside the model")
    options = parser.parse_args(arguments)
    saved, classifier = open_saved_model(options.model), load_classifier(options.model)
    rows = load_urbansound13(options.dataset)
    folder = choose(sounds_of_folder(options.background, options.background_without.split(",")), _CLIPS)
    classes = choose(sounds_of_dataset(options.dataset), _CLIPS)
    sounds = [clip[3] for clip in folder] + [rows[clip[3]]["audio"]["bytes"] for clip in classes]
    kinds = np.array([clip[0] for clip in (*folder, *classes)])
    save_background(options.output, Background(classifier.embed(sounds), kinds), saved)
    size = options.output.stat().st_size
    print(f"{options.output}: {len(kinds)} clips of {len(set(kinds))} kinds, {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
