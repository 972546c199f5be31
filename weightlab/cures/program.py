"""The PyTorch program of gradients through time: a recurrent cell driven step by step, every state's gradient kept."""

from __future__ import annotations

from weightlab.networks.datasets import Dataset
from weightlab.networks.initializers import InitializationSettings
from weightlab.networks.models import MODELS, model
from weightlab.networks.time_gradients import GATES
from weightlab.program_text import comment, indented, lines, literal, program
from weightlab.programs.data import data_code
from weightlab.programs.initializers import initialization_lines
from weightlab.programs.models import ModelCode

_CELLS = {"rnn": "RNNCell", "lstm": "LSTMCell", "gru": "GRUCell"}


def time_gradients_program(
    cell: str,
    start: InitializationSettings,
    data: Dataset,
    *,
    activation: str = "tanh",
    width: int = 32,
    keep_bias: float = 0.0,
    seed: int = 0,
    batch: int = 64,
) -> str:
    """The program of `measure_time_gradients` of one seed, with its arguments, checked by it.

    It leaves `gradients` and `sizes`, step by step, and for a plain cell the spectral `radius`.
    """
    settings = {"activation": activation} if cell == "rnn" else {}
    chosen = model(cell, depth=1, width=width, reading="pixels", **settings)
    examples, layers = data_code(data), ModelCode((), "", recurrent="cell", gates=_gates(cell))
    blocks = [
        *examples.definitions,
        _reader(cell, activation, width, data.classes),
        "torch.set_num_threads(1)  # sums over several threads round differently",
        lines("x, y, *_ = load_data()", f"x, y = x[:{batch}], y[:{batch}]"),
        lines(
            f"weights_stream = torch.Generator().manual_seed({seed})",
            "model = Reader().double()",
            initialization_lines(start, chosen.hidden_activation, layers),
            _opened(cell, keep_bias),
        ),
        _measurement(cell),
        _ending(cell),
    ]
    imports = ["import torch", "from torch import nn", *examples.imports]
    summary = f"Gradients through time: {MODELS[cell].label}, {start.label}."
    return program(summary, imports, blocks)


def _gates(cell: str) -> int:
    return GATES[cell.upper()][0] if cell.upper() in GATES else 1


def _reader(cell: str, activation: str, width: int, classes: int) -> str:
    options = ["1", str(width)]
    if cell == "rnn" and activation != "tanh":
        options.append(f'nonlinearity="{activation}"')
    kept, last = "state = self.cell(numbers.unsqueeze(1), state)", "state"
    if cell == "lstm":
        # without copies the memory's gradient would count its way through h of the same step too
        kept, last = (
            "h, c = self.cell(numbers.unsqueeze(1), state)\n"
            "            state = h.clone(), c.clone()  # both as they are handed on, each by itself"
        ), "state[0]"
    return f'''class Reader(nn.Module):
    """Reads an example number by number and keeps {"all it hands on" if cell == "lstm" else "every hidden state"}."""

    def __init__(self):
        super().__init__()
        self.cell = nn.{_CELLS[cell]}({", ".join(options)})
        self.output = nn.Linear({width}, {classes})

    def forward(self, x):
        state, states = None, []
        for numbers in x.T:
            {kept}
            states.append(state)
        return self.output({last}), states'''


def _opened(cell: str, keep_bias: float) -> str:
    if cell.upper() not in GATES or not keep_bias:
        return ""
    blocks, which = GATES[cell.upper()]
    gate = "forget gate" if cell == "lstm" else "update gate"
    return f"model.cell.bias_ih.data.chunk({blocks})[{which}].add_({literal(keep_bias)})  # the {gate}: keeps the state"


def _measurement(cell: str) -> str:
    kept = "for h in states:\n    h.retain_grad()"
    if cell == "lstm":
        kept = "for h, c in states:\n    h.retain_grad()\n    c.retain_grad()"
    return lines(
        "logits, states = model(x)",
        kept,
        "nn.functional.cross_entropy(logits, y).backward()",
    )


def _ending(cell: str) -> str:
    if cell == "lstm":
        found = lines(
            "gradients = [torch.stack([h.grad, c.grad]).norm().item() for h, c in states[:-1]]",
            "gradients.append(states[-1][0].grad.norm().item())  # the last memory leads nowhere",
            "sizes = [h.square().mean().sqrt().item() for h, _ in states]",
        )
    else:
        found = lines(
            "gradients = [h.grad.norm().item() for h in states]",
            "sizes = [h.square().mean().sqrt().item() for h in states]",
        )
    radius = lines(
        "radius = torch.linalg.eigvals(model.cell.weight_hh).abs().max().item()",
        'print(f"spectral radius of the recurrent matrix {radius:.3f}")',
    )
    return lines(
        comment("Left out: theory's marks."),
        found,
        "for step, (gradient, size) in enumerate(zip(gradients, sizes), start=1):",
        indented('print(f"time step {step}: gradient {gradient:.3g}, hidden state {size:.3g}")'),
        'print(f"gradient × per time step, backwards: {(gradients[0] / gradients[-1]) ** (1 / 63):.3f}")',
        radius if cell == "rnn" else "",
    )
