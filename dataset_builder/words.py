"""`python -m dataset_builder words`: spoken words as background, which teach `other` what people talking sound like.

Tux Paint's stamps say their names in many languages, read by the project's contributors (GPL 2; Debian's package
`tuxpaint-stamps-default`). Recordings of streets are full of speech, and none of the classes is speech.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections import defaultdict
from pathlib import Path

from quaclrs.errors import QuaclrsError

#: A stamp's name as it is read: lion_desc_fr.ogg, and lion_desc.ogg in English.
_SPOKEN = re.compile(r".+_desc(_(?P<language>[a-z]{2,3}(_[A-Za-z]{2})?))?")

#: Words of a language. A few are enough: one or two people read them all.
_WORDS = 12


def add_words_command(commands: argparse._SubParsersAction) -> None:
    """Add `words` to the commands of `python -m dataset_builder`; `options.run(options)` runs it."""
    words = commands.add_parser("words", help="gather spoken words, background for --background")
    add = words.add_argument
    add("--stamps", type=Path, required=True, metavar="DIR", help="stamps of Tux Paint, as its package has them")
    add("--output", type=Path, required=True, metavar="DIR", help="new folder for the words")
    add("--by-language", action="store_true", help="a folder a language: each is then a kind of sound of its own")
    words.set_defaults(run=run_words)


def run_words(options: argparse.Namespace) -> int:
    """Copy words of every language, and print how many there are."""
    from .urbansound13 import written_at_once

    chosen = choose_words(options.stamps)
    with written_at_once(options.output) as folder:
        for language, files in chosen.items():
            for file in files:
                place = folder / language / file.name if options.by_language else folder / f"{language}-{file.name}"
                place.parent.mkdir(exist_ok=True)
                shutil.copyfile(file, place)
    print(f"{options.output}: {sum(map(len, chosen.values()))} words in {len(chosen)} languages")
    return 0


def choose_words(stamps: Path) -> dict[str, list[Path]]:
    """Twelve words of every language that has as many, evenly spaced among them, by language.

    Args:
        stamps: a folder that holds Tux Paint's stamps, at any depth.

    Raises:
        QuaclrsError: no such folder, or none of these files in it.
    """
    if not stamps.is_dir():
        raise QuaclrsError(f"--stamps {stamps} is not a folder; unpack tuxpaint-stamps-default there")
    spoken: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(stamps.rglob("*_desc*.ogg")):
        if match := _SPOKEN.fullmatch(file.stem):
            spoken[match["language"] or "en"].append(file)
    # A stamp lies in several sizes or colours: a word of one language is taken once.
    once = {language: list({file.name: file for file in files}.values()) for language, files in spoken.items()}
    chosen = {
        language: [files[len(files) * place // _WORDS] for place in range(_WORDS)]
        for language, files in sorted(once.items())
        if len(files) >= _WORDS
    }
    if not chosen:
        raise QuaclrsError(f"--stamps {stamps} holds no spoken words (NAME_desc_LANGUAGE.ogg); give Tux Paint's stamps")
    return chosen
