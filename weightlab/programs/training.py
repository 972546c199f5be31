"""The PyTorch program of a real run: data, network, first weights, optimizer, and the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from weightlab.networks.losses import LOSSES
from weightlab.networks.model_programs import ModelCode
from weightlab.program_text import arguments, comment, indented, lines, literal, program
from weightlab.programs.data import DataCode, data_code, data_label
from weightlab.programs.groups import MAIN, REST, layout
from weightlab.programs.initializers import initialization_lines
from weightlab.programs.models import model_code, model_label
from weightlab.programs.optimizers import optimizer_code
from weightlab.programs.schedules import ScheduleCode, schedule_code
from weightlab.programs.updates import Updates, batch_definition, update_lines, validation
from weightlab.training.experiment import RUN_SETTINGS, TrainingExperiment


@dataclass(frozen=True)
class RunCode:
    """A run up to its optimizer.

    data:    lines that leave the examples
    streams: lines that leave the sources of random numbers, "" where nothing is drawn
    model:   lines that leave `model` with its first weights
    batches: the generator `batches()`, "" where all examples are used at once
    """

    imports: list[str]
    definitions: list[str]
    data: str
    streams: str
    model: str
    batches: str
    updates: Updates

    @property
    def setup(self) -> list[str]:
        """All that stands between the definitions and the optimizer."""
        threads = "torch.set_num_threads(1)  # small networks are slower on several, and sums round differently"
        return [threads, self.data, self.streams, self.model, self.batches]


def training_program(experiment: TrainingExperiment) -> str:
    """The program. It leaves the trained network in `model`, its parameters in the run's order."""
    run = run_code(experiment)
    schedule = schedule_code(experiment.schedule, run.updates.rates_by_hand)
    blocks = [
        *run.definitions,
        schedule.definition,
        *run.setup,
        validation(experiment, run.updates.modes),
        lines(optimizer_lines(run.updates, schedule), variable_lines(run.updates)),
        _loop(experiment, run.updates, schedule),
        _ending(experiment),
    ]
    return program(run_summary(experiment), [*run.imports, *schedule.imports], blocks)


def run_summary(experiment: TrainingExperiment) -> str:
    """A program's first line."""
    rule, rest = experiment.optimizer, experiment.optimizer.rest
    rules = rule.label if rest is None else f"{rule.label} and {rest.label}"
    return f"{data_label(experiment.dataset)}: {model_label(experiment.model)}, {rules}."


def run_code(experiment: TrainingExperiment) -> RunCode:
    """What a program of this run begins with."""
    data = data_code(experiment.dataset)
    model = model_code(experiment.model, experiment.dataset, experiment.outputs)
    updates = updates_of(experiment, model)
    first = initialization_lines(experiment.initialization, experiment.model.hidden_activation, model)
    rules = updates.optimizers.values()
    needed = [line for rule in rules for line in rule.imports]
    imports = ["import torch", "from torch import nn", *data.imports, *model.imports, *needed]
    definitions = [
        *data.definitions,
        *model.definitions,
        *dict.fromkeys(text for rule in rules for text in rule.definitions),
        LOSSES[experiment.loss].definition(experiment.dataset.classes),
    ]
    return RunCode(
        imports,
        definitions,
        _data_lines(experiment, data, model),
        _streams(experiment, model),
        lines(model.make, "model.double()", first, _own_draws(model), _placed(experiment), _idle(model)),
        batch_definition(experiment.batch_size),
        updates,
    )


def updates_of(experiment: TrainingExperiment, model: ModelCode) -> Updates:
    """What decides each update, with what changes midway."""
    now = first = experiment.replace(changes=())
    given: dict[int, dict[str, Any]] = {}
    optimizers = [(0, now.optimizer)]
    for step, ones in groupby(experiment.changes, key=lambda change: change[0]):
        values = {name: value for _, name, value in ones}
        if step >= experiment.steps:
            break
        before, now = now, now.with_settings(**values)
        if step == 0 and isinstance(now.optimizer.rule, str):  # a class has been made with its first settings
            first, optimizers = now, [(0, now.optimizer)]
            continue
        given[step] = {name: value for name, value in values.items() if name in RUN_SETTINGS}
        if now.optimizer != before.optimizer:
            optimizers.append((step, now.optimizer))
    rest = experiment.optimizer.rest
    groups = layout(experiment)
    main, others = (
        [one.weight_decay for one in groups.of(name) if one.weight_decay is not None] for name in (MAIN, REST)
    )
    second = optimizer_code([(0, rest)], others) if rest is not None and groups.of(REST) else None
    return Updates(experiment, first, optimizer_code(optimizers, main), given, model.modes, model.idle, groups, second)


def _data_lines(experiment: TrainingExperiment, data: DataCode, model: ModelCode) -> str:
    names = [name.strip() for name in data.load.split(" = ")[0].split(",")]
    examples = [name for name in names if name.startswith("x")]
    cast = "" if experiment.dtype == "float64" else ".float()"
    shape = experiment.dataset.image_shape
    reshaped = f".reshape(-1, {', '.join(map(str, shape))})" if shape is not None and model.own else ""
    moved = ".to(device)" if experiment.device != "cpu" else ""
    changed = [
        f"{name} = {name}{cast + reshaped if name in examples else ''}{moved}"
        for name in names
        if moved or (name in examples and cast + reshaped)
    ]
    return lines(_device(experiment.device), data.load, *changed)


def _device(name: str) -> str:
    if name == "cpu":
        return ""
    if name != "auto":
        return f'device = "{name}"'
    return lines(
        'device = "mps" if torch.backends.mps.is_available() else "cpu"',
        "if torch.cuda.is_available():",
        '    device = "cuda"',
    )


def _streams(experiment: TrainingExperiment, model: ModelCode) -> str:
    weights = experiment.initialization.initializer.draws or model.draws
    order = experiment.batch_size is not None
    if not (weights or order):
        return ""
    seeds = f"torch.randint(2**62, (2,), generator=torch.Generator().manual_seed({experiment.seed})).tolist()"
    remark = "Streams of their own: another batch size leaves the first weights as they are."
    return lines(
        comment(remark),
        f"seeds = {seeds}",
        "weights_stream = torch.Generator().manual_seed(seeds[0])" if weights else "",
        "order_stream = torch.Generator().manual_seed(seeds[1])" if order else "",
    )


def _own_draws(model: ModelCode) -> str:
    if not model.draws:
        return ""
    drawn = "torch.manual_seed(int(torch.randint(2**62, (), generator=weights_stream)))"
    return f"{drawn}  # for dropout"


def _idle(model: ModelCode) -> str:
    if not model.idle:
        return ""
    return lines(
        "for p in model.parameters():  # those that no gradient reaches are penalized and decay too",
        "    p.grad = torch.zeros_like(p)",
    )


def _placed(experiment: TrainingExperiment) -> str:
    cast = "" if experiment.dtype == "float64" else "model.float()  # drawn in float64, trained in float32"
    return lines(cast, "model.to(device)" if experiment.device != "cpu" else "")


def optimizer_lines(updates: Updates, schedule: ScheduleCode) -> str:
    """The lines that make the optimizer, or two, and the scheduler."""
    rule, rest, groups = updates.optimizer, updates.rest, updates.layout
    made, rate = arguments(rule.arguments), literal(rule.rate)
    if schedule.uses_rate:
        made[0], rate = "lr=lr", "lr"
    return lines(
        f"lr = {literal(rule.rate)}" if schedule.uses_rate else "",
        groups.setup,
        groups.made(MAIN, rule.constructor, made, rate),
        groups.made(REST, rest.constructor, arguments(rest.arguments), literal(rest.rate)) if rest else "",
        schedule.setup,
    )


def variable_lines(updates: Updates) -> str:
    return lines(*(f"{name} = {literal(value)}" for name, value in updates.first_values().items()))


def _loop(experiment: TrainingExperiment, updates: Updates, schedule: ScheduleCode) -> str:
    batches = "step, (x, y) in zip(range({}), batches())" if experiment.batch_size else "step in range({})"
    head = f"for {batches.format(experiment.steps)}:"
    validated = bool(len(experiment.dataset.y_validation))
    every, shown = experiment.validate_every, 'print(f"step {step}: validation accuracy {accuracy:.1%}")'
    check = ""
    if validated:
        observe = schedule.observe.format(loss="validation_loss")
        result = "validation_loss" if observe else "_"
        check = lines(f"if step % {every} == 0:", indented(lines(f"{result}, accuracy = validate()", shown, observe)))
    elif schedule.observe:
        observe = schedule.observe.format(loss="loss.item()")
        check = f"if step > 0 and step % {every} == 0:\n    {observe}"
    rates = updates.rates(schedule.rate)
    body = lines(check, updates.turns(bool(schedule.rate)), rates, update_lines(updates), schedule.advance)
    return f"{head}\n{indented(body)}"


def _ending(experiment: TrainingExperiment) -> str:
    if not len(experiment.dataset.y_validation):
        return 'print(f"loss of the last step {loss.item():.6g}")'
    return lines(
        "_, accuracy = validate()",
        'print(f"loss of the last step {loss.item():.6g}, validation accuracy {accuracy:.1%}")',
    )
