"""A map of embeddings by class: what an encoder finds alike lies close together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from .style import PALETTE, empty_figure

#: Shapes tell apart the classes that share a colour: 13 colours cannot be told apart by everyone.
_MARKERS = ("o", "^", "s")


def embedding_map_figure(
    embeddings: np.ndarray, labels: np.ndarray, class_names: Sequence[str], title: str, seed: int = 0
) -> Figure:
    """Draw clips by t-SNE of their unit embeddings (van der Maaten and Hinton, 2008).

    Args:
        embeddings: (clips, dimensions) floats, at least three clips.
        labels: (clips,) indices into `class_names`.
        class_names: of the legend.
        title: above the map.
        seed: of t-SNE.
    """
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    perplexity = min(30.0, (len(unit) - 1) / 3)
    places = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(unit)
    figure = empty_figure(8.5, 6)
    axes = figure.add_subplot()
    for index, name in enumerate(class_names):
        chosen = labels == index
        axes.scatter(
            places[chosen, 0],
            places[chosen, 1],
            s=18,
            marker=_MARKERS[index // len(PALETTE)],
            color=PALETTE[index % len(PALETTE)],
            alpha=0.75,
            linewidths=0,
            label=f"{name} ({chosen.sum()})",
        )
    axes.set_title(title)
    axes.set(xticks=[], yticks=[])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure
