"""`quaclrs explain`: a picture of where in a sound the answer was heard."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import QuaclrsError, printable
from ..evaluation.reports.tables import percent, seconds
from .model_options import add_channel_option, add_model_options, load_model
from .one_sound import add_sound_options, only_sound, opened_sound, picture_beside

_ENDING = "explained.png"

#: Said where the heat counts for no more than chance.
_DOUBT = ": cells at random cost as much, so the picture says little"


def add_explain_command(commands: Any) -> None:
    """Register the command with the subparsers of `quaclrs`."""
    parser = commands.add_parser(
        "explain",
        help="show where in a sound the answer was heard",
        description="Draw the spectrogram of a sound, or its middle, with the parts that spoke for a class.",
    )
    add = parser.add_argument
    add_sound_options(parser, _ENDING)
    add("--label", metavar="CLASS", help="class to look for; the model's answer by default")
    add(
        "--method",
        default="deletion",
        metavar="M",
        help="deletion (default); for models of one encoder also grad-cam, integrated-gradients",
    )
    add_channel_option(parser)
    add_model_options(parser, backends=False)
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_explain, extra="torch")


def run_explain(options: argparse.Namespace) -> int:
    """Say what is heard, and write the picture that shows where."""
    from ..evaluation.figures.style import refuse_figure, save_figure

    file = only_sound(options.file)
    output = options.output or picture_beside(file, _ENDING)
    refuse_figure(output)
    classifier: Any = load_model(options)
    from ..audio import name_of
    from ..evaluation.figures.explanation import explanation_figure
    from ..inference.explain import SilentSoundError, explain

    sound = opened_sound(file)
    try:
        explanation = explain(classifier, sound, label=options.label, method=options.method, channel=options.channel)
    except SilentSoundError as error:
        raise QuaclrsError(f"{name_of(sound)}: {error}") from error
    save_figure(explanation_figure(explanation, classifier.log_mel_config), Path(output))
    heard = min(explanation.total, explanation.duration)
    result = {"file": file, "label": explanation.label, "score": explanation.score, "picture": output}
    result |= {"heard": round(heard, 3), "duration": round(explanation.total, 3)}
    scores = explanation.faithfulness.scores
    result |= {f"score_{name}": score for name, score in scores.items() if name != "whole"}
    result["faithfulness"] = round(explanation.faithfulness.difference, 3)
    if options.json:
        print(json.dumps(result), flush=True)
    else:
        said = f"{explanation.label} {percent(explanation.score)}"
        if heard < explanation.total:
            said += f" in {seconds(heard)} from the middle of {seconds(explanation.total)}"
        print(f"{printable(file)}: {said}, picture: {printable(output)}", flush=True)
        hottest, random = (percent(scores[name]) for name in ("without_most_heat", "without_random"))
        doubt = "" if explanation.faithfulness.difference > 0 else _DOUBT
        print(f"without the tenth with most heat {hottest}; without a tenth at random {random}{doubt}", flush=True)
    return 0
