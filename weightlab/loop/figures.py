"""What a loss does to the gradient of a confident mistake, as a static figure."""

from __future__ import annotations

from collections.abc import Callable

import torch

from weightlab.loop.problems import PROBLEMS
from weightlab.pictures.style import Still, lines_figure, to_still
from weightlab.theory.loop import logit_gradient

# Words of a gradient -> the loss whose it is.
LINES = {one.slope: name for name, one in PROBLEMS["confident_mistake"].losses.items() if one.slope}


def mistake_still(measure: Callable[[str, float], float], alt: str) -> Still:
    """Theory's gradient of one example of class 1 against its logit, a line a loss, with measured points on it.

    measure: (loss, logit) -> the gradient that autograd gives.
    """
    logits = torch.linspace(-8, 4, 49, dtype=torch.float64)
    some = logits[::4]
    lines = {
        text: (logits, torch.tensor([logit_gradient(name, z, 1.0) for z in logits.tolist()]))
        for text, name in LINES.items()
    }
    points = {text: (some, torch.tensor([measure(name, z) for z in some.tolist()])) for text, name in LINES.items()}
    return to_still(lines_figure(lines, "logit z of an example of class 1", "gradient dL/dz", points=points), alt)
