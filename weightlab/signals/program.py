"""The PyTorch program of a signal measurement: a deep network before training, forwards and backwards."""

from __future__ import annotations

from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.initializers import InitializationSettings
from weightlab.program_text import call, comment, indented, lines, program
from weightlab.programs.initializers import weight_lines

BATCH = 64  # examples that measure_signals sends up


def signal_program(activation: str, start: InitializationSettings, depth: int, width: int, seed: int = 0) -> str:
    """The program of `measure_signals` of one seed; it leaves RMS values in `forward` and `backward`, layer by layer.

    Arguments as those of `measure_signals`, checked by it.
    """
    blocks = [
        lines(
            "def rms(values):",
            '    """Root mean square."""',
            "    return values.norm() / values.numel() ** 0.5",
        ),
        "torch.set_num_threads(1)  # sums over several threads round differently",
        lines(
            f"generator = torch.Generator().manual_seed({seed})",
            f"h = torch.randn({BATCH}, {width}, generator=generator)",
        ),
        _layers(activation, start, depth, width),
        lines(
            "inputs = []  # of the activation, layer by layer",
            "for layer in layers:",
            "    z = layer(h)",
            "    z.retain_grad()",
            "    inputs.append(z)",
            f"    h = {ACTIVATIONS[activation].function_text.format('z')}",
            f"h.backward(torch.randn({BATCH}, {width}, generator=generator))",
        ),
        lines(
            comment("Left out: theory's marks, which hold for infinitely wide layers."),
            "forward = [rms(z).item() for z in inputs]",
            "backward = [rms(z.grad).item() for z in inputs]",
            "for number, (signal, gradient) in enumerate(zip(forward, backward), start=1):",
            '    print(f"layer {number}: signal {signal:.4g}, gradient {gradient:.4g}")',
        ),
    ]
    summary = f"Signals through {depth} layers of {width} units: {ACTIVATIONS[activation].label}, {start.label}."
    imports = ["import torch", "from torch import nn"]
    return program(summary, imports, blocks)


def _layers(activation: str, start: InitializationSettings, depth: int, width: int) -> str:
    filled = weight_lines("layer.weight", start, ACTIVATIONS[activation]).replace("weights_stream", "generator")
    return lines(
        call("layers = nn.ModuleList", [f"nn.Linear({width}, {width}, bias=False) for _ in range({depth})"]),
        "for layer in layers:",
        indented(filled),
    )
