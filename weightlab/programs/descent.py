"""The PyTorch program of a descent on a landscape: the loss written out, its gradient by autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weightlab.descent.experiment import DescentExperiment
from weightlab.program_text import arguments, call, comment, indented, lines, literal, program, times
from weightlab.programs.groups import changed_groups
from weightlab.programs.landscapes import landscape_label, loss_code
from weightlab.programs.optimizers import OptimizerCode, optimizer_code
from weightlab.programs.schedules import ScheduleCode, schedule_code

LONGEST = 70  # characters of what stands in one line
NOISE_BLOCK = 64  # rows that weightlab.descent.run.drawn_noise draws together


def descent_program(experiment: DescentExperiment) -> str:
    """The program. It leaves the last weights of one optimizer in `w`, of several in `results`, (2,) by label."""
    rules = [optimizer_code(stages(experiment, learner)) for learner in range(len(experiment.optimizers))]
    alone = len(rules) == 1
    loss = loss_code(experiment.landscape)
    schedule = schedule_code(experiment.schedule, any(rule.rate_changes for rule in rules), 0 if alone else 1)
    walk = _walk_alone(experiment, rules[0], schedule) if alone else _walk_together(experiment, rules, schedule)
    imports = ["import torch", *loss.imports, *schedule.imports, *(line for rule in rules for line in rule.imports)]
    definitions = dict.fromkeys(text for rule in rules for text in rule.definitions)
    names = ", ".join(_names(experiment))
    if len(names) > LONGEST:
        names = f"{len(rules)} optimizers side by side"
    blocks = [*loss.definitions, *definitions, schedule.definition, _noise(experiment), *walk]
    return program(f"{landscape_label(experiment.landscape)}: {names}.", imports, blocks)


def stages(experiment: DescentExperiment, learner: int) -> list[tuple[int, Any]]:
    """The settings of one learner and from which step on they hold."""
    later = [(step, ones[learner]) for step, ones in experiment.changes if step < experiment.steps]
    return [(0, experiment.optimizers[learner]), *later]


def _noise(experiment: DescentExperiment) -> str:
    if not experiment.landscape.gradient_noise:
        return ""
    rows = -(-(experiment.steps + 1) // NOISE_BLOCK) * NOISE_BLOCK
    drawn = f"torch.randn({rows}, 2, generator=generator, dtype=torch.float64)"
    return lines(
        comment(f"One row a step, drawn {NOISE_BLOCK} at a time, so that a longer run begins with the same noise."),
        f"generator = torch.Generator().manual_seed({experiment.seed})",
        f"noise = {times(experiment.landscape.gradient_noise, drawn)}",
    )


def _start(experiment: DescentExperiment, depth: int = 0) -> str:
    assert experiment.start is not None
    start = f"[{', '.join(literal(value) for value in experiment.start)}]"
    start = start if _weights(experiment) == "w" else f"[{start}]"
    return call("w = torch.tensor", [start, "dtype=torch.float64", "requires_grad=True"], depth)


def _weights(experiment: DescentExperiment) -> str:
    """The two weights, (2,): for optimizers of matrices `w` is one of a single row."""
    return "w" if all(one.rest is None for one in experiment.optimizers) else "w[0]"


def _loss(experiment: DescentExperiment) -> str:
    return times(experiment.loss_scale, f"loss_at({_weights(experiment)})")


def _gradient(experiment: DescentExperiment, closure: bool) -> str:
    """Lines that leave the gradient in w.grad and its loss in `loss`."""
    noisy, added = experiment.landscape.gradient_noise, times(experiment.loss_scale, "noise[step]")
    steps = lines(
        "optimizer.zero_grad()",
        f"loss = {_loss(experiment)}",
        "loss.backward()",
        f"w.grad += {added}" if noisy else "",
    )
    if not closure:
        return steps
    return lines("def closure():", indented(lines(steps, "return loss")))


def _walk_alone(experiment: DescentExperiment, rule: OptimizerCode, schedule: ScheduleCode) -> list[str]:
    first = dict(rule.arguments)
    made = arguments(first)
    if schedule.uses_rate:
        made[0] = "lr=lr"
    setup = lines(
        _start(experiment),
        f"lr = {literal(rule.rate)}" if schedule.uses_rate else "",
        call(f"optimizer = {rule.constructor}", ["[w]", *made]),
        schedule.setup,
    )
    turns = [
        f"if step == {step}:\n{indented(changed_groups(values, bool(schedule.rate)))}"
        for step, values in rule.changes.items()
    ]
    rate = f'optimizer.param_groups[0]["lr"] = {schedule.rate}' if schedule.rate else ""
    body = lines(*turns, rate, _step(experiment, [rule], schedule))
    loop = f"for step in range({experiment.steps}):\n{indented(body)}"
    ending = f'print(f"weights {{{_weights(experiment)}.tolist()}}, loss {{{_loss(experiment)}:.6g}}")'
    return [lines(setup, loop), ending]


def _step(experiment: DescentExperiment, rules: Sequence[OptimizerCode], schedule: ScheduleCode) -> str:
    """One update; `rules` are all that may be `optimizer` here."""
    ahead = {rule.constructor: None for rule in rules if rule.looks_ahead}
    closures = {rule.constructor: None for rule in rules if rule.closure}
    all_look, all_close = (all(part) for part in zip(*((r.looks_ahead, r.closure) for r in rules), strict=True))
    look, observed = "", "loss"
    if ahead:
        look = "optimizer.look_ahead()"
        if schedule.observe:
            observed = "height"
            look = lines(f"height = {_loss(experiment)}", look if all_look else "")
        if not all_look:
            test = f"if isinstance(optimizer, {next(iter(ahead))}):\n    optimizer.look_ahead()"
            look = lines(look if schedule.observe else "", test)
    gradient = _gradient(experiment, bool(closures))
    update = "optimizer.step()"
    if closures:
        kept = "loss = " if schedule.observe and observed == "loss" else ""
        update = f"{kept}optimizer.step(closure)"
    if closures and not all_close:
        kinds = ", ".join(closures)
        kinds = f"({kinds})" if len(closures) > 1 else kinds
        update = f"if isinstance(optimizer, {kinds}):\n    {update}\nelse:\n    {kept}closure()\n    optimizer.step()"
    observe = schedule.observe.format(loss=f"{observed}.item()") if schedule.observe else ""
    if not closures:
        return lines(look, gradient, update, schedule.advance, observe)
    return f"{look}\n\n{gradient}\n\n{lines(update, schedule.advance, observe)}".strip("\n")


def _walk_together(
    experiment: DescentExperiment, rules: Sequence[OptimizerCode], schedule: ScheduleCode
) -> list[str]:
    changing = any(rule.changes for rule in rules)
    apart = bool(schedule.rate)
    takes_rate = schedule.uses_rate and not apart
    signature = ["optimizer_class", *(["changes"] if changing else []), *(["lr"] if takes_rate else []), "**settings"]
    made = ["[w]", *(["lr=lr"] if takes_rate else []), "**settings"]
    turn = ""
    if apart:
        turn = lines(
            "settings.update(changes.get(step, {}))",
            call("group.update", ["settings", f'lr={schedule.rate.replace("lr *", _RATE + " *", 1)}'], 2),
        )
    elif changing:
        turn = "group.update(changes.get(step, {}))"
    body = lines(
        f'"""The weights after {experiment.steps} steps."""',
        _start(experiment, 1),
        call("optimizer = optimizer_class", made, 1),
        schedule.setup,
        "group = optimizer.param_groups[0]" if changing else "",
        f"for step in range({experiment.steps}):",
        indented(lines(turn, _step(experiment, rules, schedule))),
        f"return {_weights(experiment)}.detach()",
    )
    runs, end = [], times(experiment.loss_scale, "loss_at(w)")
    for label, rule in zip(_names(experiment), rules, strict=True):
        parts = [rule.constructor, *([_table(rule.changes)] if changing else []), *arguments(rule.arguments)]
        runs.append(indented(call(f'"{label}": descend', parts, 1, tail=",")))
    return [
        f"def descend({', '.join(signature)}):\n{indented(body)}",
        "\n".join(["results = {", *runs, "}"]),
        lines(
            "for name, w in results.items():",
            f'    print(f"{{name}}: weights {{w.tolist()}}, loss {{{end}:.6g}}")',
        ),
    ]


_RATE = 'settings["lr"]'


def _table(changes: Any) -> str:
    steps = [f"{step}: {{{', '.join(f'{chr(34)}{k}{chr(34)}: {literal(v)}' for k, v in values.items())}}}"
             for step, values in changes.items()]
    return f"{{{', '.join(steps)}}}"


def _names(experiment: DescentExperiment) -> list[str]:
    """The legend's names; where one is long or comes again, the rule's with a number."""
    found: list[str] = []
    for label, optimizer in zip(experiment.replace(changes=()).labels, experiment.optimizers, strict=True):
        name, number = label, 1
        while name in found or len(name) > LONGEST:
            name, number = f"{optimizer.label} {number}", number + 1
        found.append(name)
    return found
