"""The metric's Space: a table of clips in, their figures out. (`evaluate`'s own widget needs Gradio 3.)"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import evaluate
import gradio as gr
from evaluate.utils.gradio import parse_readme

FOLDER = Path(__file__).parent
metric = evaluate.load(str(FOLDER / "urban_sound_classification.py"))


def score(clips: list[list[Any]], class_names: str) -> dict[str, Any]:
    """Figures of a table whose rows are a JSON list of probabilities and the number of the true class."""
    rows = [row for row in clips if str(row[0]).strip()]
    try:
        return metric.compute(
            predictions=[json.loads(row[0]) for row in rows],
            references=[int(row[1]) for row in rows],
            class_names=[name.strip() for name in class_names.split(",")],
        )
    except ValueError as error:  # no JSON, no number, or a QuaclrsError
        raise gr.Error(str(error)) from error


demo = gr.Interface(
    fn=score,
    inputs=[
        gr.Dataframe(
            value=[["[0.7, 0.2, 0.1]", 0], ["[0.1, 0.5, 0.4]", 2], ["[0.2, 0.6, 0.2]", 1]],
            headers=["predictions", "references"],
            datatype=["str", "number"],
            type="array",
            label="clips",
        ),
        gr.Textbox("car_horn, police, traffic", label="class names, separated by commas"),
    ],
    outputs=gr.JSON(label="figures"),
    title="Urban sound classification",
    description=metric.description,
    article=parse_readme(str(FOLDER / "README.md")),
)

if __name__ == "__main__":
    demo.launch()
