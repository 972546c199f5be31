"""The PyTorch program of many noisy runs under a schedule, side by side in one tensor."""

from __future__ import annotations

from collections.abc import Sequence

from weightlab.descent.landscapes import Landscape
from weightlab.program_text import arguments, call, comment, indented, lines, literal, program
from weightlab.programs.descent import NOISE_BLOCK
from weightlab.programs.landscapes import loss_code
from weightlab.programs.optimizers import OptimizerCode, optimizer_code
from weightlab.programs.schedules import ScheduleCode, schedule_code
from weightlab.rules.schedules import ScheduleSettings
from weightlab.rules.update_rules import OptimizerSettings
from weightlab.scheduling.run import Move

SETTLED = 50  # last rows over which the program averages


def schedule_program(
    landscape: Landscape,
    rules: Sequence[OptimizerSettings],
    schedule: ScheduleSettings,
    *,
    steps: int = 300,
    runs: int = 200,
    move: Move | None = None,
    shown: int = 0,
) -> str:
    """The program of `scheduled_runs` with seeds 0, 1, … for each rule; all have the first one's learning rate.

    shown: the run whose end is printed. It leaves `results`: label -> weights (steps + 1, 2, run), losses
    (steps + 1, run), learning rates (steps,) or, where the losses decide them, (steps, run).
    """
    codes = [optimizer_code([(0, rule)]) for rule in rules]
    loss = loss_code(landscape)
    pace = schedule_code(schedule, False, 1)
    imports = ["import torch", *loss.imports, *pace.imports, *(line for code in codes for line in code.imports)]
    definitions = dict.fromkeys(text for code in codes for text in code.definitions)
    blocks = [
        *loss.definitions,
        _minimum(landscape, move),
        *definitions,
        _noise(landscape, steps, runs),
        f"lr = {literal(codes[0].rate)}",
        _descend(landscape, codes, pace, schedule.needs_losses, steps, runs, move),
        _results(rules, codes, schedule.needs_losses, runs),
        _ending(runs, shown, schedule.needs_losses),
    ]
    names = ", ".join(rule.label for rule in rules) if len(rules) < 3 else f"{len(rules)} update rules"
    return program(f"{runs} runs down a noisy bowl: {names}; schedule: {schedule.label.lower()}.", imports, blocks)


def _column(point: tuple[float, float]) -> str:
    return f"[[{literal(float(point[0]))}], [{literal(float(point[1]))}]]"


def _minimum(landscape: Landscape, move: Move | None) -> str:
    if move is None:
        return ""
    offset = (move.to[0] - landscape.minima[0][0], move.to[1] - landscape.minima[0][1])
    return lines(
        "def shift(step):",
        f'    """How far the minimum has moved: at step {move.step} the data change."""',
        f"    moved = torch.tensor({_column(offset)}, dtype=torch.float64)",
        f"    return moved if step >= {move.step} else torch.zeros_like(moved)",
    )


def _noise(landscape: Landscape, steps: int, runs: int) -> str:
    if not landscape.gradient_noise:
        return ""
    rows = -(-steps // NOISE_BLOCK) * NOISE_BLOCK
    return lines(
        comment(f"Each run's own noise, (step, 2, run), drawn {NOISE_BLOCK} steps at a time: longer runs begin alike."),
        "noise = torch.stack(",
        "    [",
        f"        torch.randn({rows}, 2, generator=torch.Generator().manual_seed(run), dtype=torch.float64)",
        f"        for run in range({runs})",
        "    ],",
        "    dim=2,",
        ")",
        f"noise *= {literal(landscape.gradient_noise)}" if landscape.gradient_noise != 1 else "",
    )


def _descend(
    landscape: Landscape,
    codes: Sequence[OptimizerCode],
    pace: ScheduleCode,
    one_by_one: bool,
    steps: int,
    runs: int,
    move: Move | None,
) -> str:
    start = f"w = torch.tensor({_column(landscape.start)}, dtype=torch.float64)"
    lost = "[loss_at(w) for w in path]"
    if move is not None:
        lost = "[loss_at(w - shift(step)) for step, w in enumerate(path)]"
    text = _joined(
        '"""Weights (steps + 1, 2, run), losses (steps + 1, run) and learning rates.',
        "",
        "The runs share no weight, so the gradient of the sum of their losses is each one's own.",
        '"""',
        start,
        f"w = w.repeat(1, {'len(chosen)' if one_by_one else runs}).requires_grad_()",
        "optimizer = make_optimizer(w)",
        pace.setup,
        "path, rates = [], []",
        f"for step in range({steps}):",
        indented(_step(landscape, codes, pace, one_by_one, move)),
        "path.append(w.detach())",
        f"losses = {lost}",
        "return torch.stack(path), torch.stack(losses), torch.tensor(rates, dtype=torch.float64)",
    )
    return f"def descend({'make_optimizer, chosen' if one_by_one else 'make_optimizer'}):\n{indented(text)}"


def _step(
    landscape: Landscape, codes: Sequence[OptimizerCode], pace: ScheduleCode, one_by_one: bool, move: Move | None
) -> str:
    place = "w" if move is None else "w - shift(step)"
    seen = "loss" if not any(code.looks_ahead for code in codes) else f"loss_at({place.replace('w', 'path[-1]', 1)})"
    chosen = "noise[step][:, chosen]" if one_by_one else "noise[step]"
    return lines(
        "path.append(w.detach().clone())",
        'rates.append(optimizer.param_groups[0]["lr"])',
        _look(codes),
        "optimizer.zero_grad()",
        f"loss = loss_at({place}).sum()",
        "loss.backward()",
        f"w.grad += {chosen}" if landscape.gradient_noise else "",
        "optimizer.step()",
        pace.advance,
        pace.observe.format(loss=f"{seen}.item()") if pace.observe else "",
    )


def _joined(*parts: str) -> str:
    """As `lines`, with the docstring's empty line kept."""
    first, _, *rest = parts
    return f"{first}\n\n{lines(*rest)}"


def _look(codes: Sequence[OptimizerCode]) -> str:
    ahead = [code.constructor for code in codes if code.looks_ahead]
    if not ahead or len(ahead) == len(codes):
        return "optimizer.look_ahead()" if ahead else ""
    return f"if isinstance(optimizer, {ahead[0]}):\n    optimizer.look_ahead()"


def _results(
    rules: Sequence[OptimizerSettings], codes: Sequence[OptimizerCode], one_by_one: bool, runs: int
) -> str:
    makers = []
    for rule, code in zip(rules, codes, strict=True):
        made = call(f"lambda w: {code.constructor}", ["[w]", "lr=lr", *arguments(code.arguments)[1:]], 1)
        makers.append(f'    "{rule.label}": {made},')
    table = "\n".join(["rules = {", *makers, "}"])
    if not one_by_one:
        return f"{table}\nresults = {{name: descend(make) for name, make in rules.items()}}"
    return lines(
        table,
        "results = {}",
        "for name, make in rules.items():  # one run after the other: each has a schedule of its own",
        f"    parts = [descend(make, [run]) for run in range({runs})]",
        "    path, losses = (torch.cat(part, dim=-1) for part in list(zip(*parts))[:2])",
        "    results[name] = path, losses, torch.stack([rates for *_, rates in parts], dim=1)",
    )


def _ending(runs: int, shown: int, one_by_one: bool) -> str:
    rate = f"rates[-1, {shown}]" if one_by_one else "rates[-1]"
    return lines(
        comment("Left out: theory's lines, and that the panel ends a run which has gone far away."),
        "for name, (path, losses, rates) in results.items():",
        f"    settled = losses[-{SETTLED}:].mean()",
        f'    print(f"{{name}}: mean loss of {runs} runs over the last {SETTLED} rows {{settled:.4g}}")',
        f'    print(f"  run {shown} ends at {{path[-1, :, {shown}].tolist()}}, learning rate {{{rate}:.4g}}")',
    )
