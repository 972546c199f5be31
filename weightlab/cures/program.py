"""The PyTorch program of gradients through time: a recurrent cell driven step by step, every state's gradient kept."""

from __future__ import annotations

from weightlab.networks.architectures import Cell
from weightlab.networks.datasets import Dataset
from weightlab.networks.initializers import InitializationSettings
from weightlab.networks.model_programs import ModelCode
from weightlab.networks.models import MODELS, ModelEntry, model
from weightlab.program_text import comment, indented, lines, literal, program
from weightlab.programs.data import data_code
from weightlab.programs.initializers import initialization_lines


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
    entry = MODELS[cell]
    kind = entry.cell
    assert kind is not None, f"{cell!r} must be a recurrent network"
    settings = {"activation": activation} if "activation" in entry.settings else {}
    chosen = model(cell, depth=1, width=width, reading="pixels", **settings)
    examples, layers = data_code(data), ModelCode((), "", recurrent="cell", gates=kind.gates)
    blocks = [
        *examples.definitions,
        _reader(entry, kind, activation, width, data.classes),
        "torch.set_num_threads(1)  # sums over several threads round differently",
        lines("x, y, *_ = load_data()", f"x, y = x[:{batch}], y[:{batch}]"),
        lines(
            f"weights_stream = torch.Generator().manual_seed({seed})",
            "model = Reader().double()",
            initialization_lines(start, chosen.hidden_activation, layers),
            _opened(kind, keep_bias),
        ),
        lines(
            "logits, states = model(x)",
            f"for {'h, c' if kind.memory else 'h'} in states:",
            "    h.retain_grad()",
            "    c.retain_grad()" if kind.memory else "",
            "nn.functional.cross_entropy(logits, y).backward()",
        ),
        _ending(kind),
    ]
    imports = ["import torch", "from torch import nn", *examples.imports]
    summary = f"Gradients through time: {entry.label}, {start.label}."
    return program(summary, imports, blocks)


def _reader(entry: ModelEntry, cell: Cell, activation: str, width: int, classes: int) -> str:
    options = ["1", str(width)]
    if "activation" in entry.settings and activation != entry.settings["activation"]:
        options.append(f'nonlinearity="{activation}"')
    kept, last = "state = self.cell(numbers.unsqueeze(1), state)", "state"
    if cell.memory:
        # without copies the memory's gradient would count its way through h of the same step too
        kept, last = (
            "h, c = self.cell(numbers.unsqueeze(1), state)\n"
            "            state = h.clone(), c.clone()  # both as they are handed on, each by itself"
        ), "state[0]"
    return f'''class Reader(nn.Module):
    """Reads an example number by number and keeps {"all it hands on" if cell.memory else "every hidden state"}."""

    def __init__(self):
        super().__init__()
        self.cell = nn.{cell.module.__name__}Cell({", ".join(options)})
        self.output = nn.Linear({width}, {classes})

    def forward(self, x):
        state, states = None, []
        for numbers in x.T:
            {kept}
            states.append(state)
        return self.output({last}), states'''


def _opened(cell: Cell, keep_bias: float) -> str:
    if cell.keep_gate is None or not keep_bias:
        return ""
    added = f"chunk({cell.gates})[{cell.keep_gate}].add_({literal(keep_bias)})"
    return f"model.cell.bias_ih.data.{added}  # the {cell.gate_label}: keeps the state"


def _ending(cell: Cell) -> str:
    if cell.memory:
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
        radius if cell.gates == 1 else "",
    )
