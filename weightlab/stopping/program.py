"""The PyTorch program of a run that a stopping rule ends: learning curves, and the best weights restored."""

from __future__ import annotations

from collections.abc import Sequence

from weightlab.program_text import comment, indented, lines, literal, program
from weightlab.programs.schedules import schedule_code
from weightlab.programs.training import optimizer_lines, run_code, run_summary
from weightlab.programs.updates import loss_of, update_lines
from weightlab.stopping.rules import Budget, Patience, StoppingRule, Target
from weightlab.training.experiment import TrainingExperiment


def epochs_program(experiment: TrainingExperiment, rules: Sequence[StoppingRule]) -> str:
    """The program of `train_until(experiment, *rules)`; a validation comes after every epoch of whole batches.

    It leaves `curve`, a row an epoch up to the stop (validation loss, share right, training loss, share right), `epoch`
    at which it stopped, `best_epoch`, and the weights of that one in `model`. Raises ValueError for another schedule
    than the constant one and for a budget in seconds, which no program repeats.
    """
    if not experiment.schedule.is_constant:
        raise ValueError(f"the schedule must be 'constant' here, got {experiment.schedule.name!r}; see program_of")
    run, epochs = run_code(experiment), experiment.steps // experiment.validate_every
    blocks = [
        *run.definitions,
        *run.setup,
        _evaluation(experiment),
        lines(
            optimizer_lines(run.updates, schedule_code(experiment.schedule, False)),
            "examples = batches()",
        ),
        _loop(experiment, rules, epochs, update_lines(run.updates)),
        lines(
            comment("Left out: the weights' length, how the run would go on, and its end where it diverges."),
            "model.load_state_dict(best)",
            'print(f"stopped at epoch {epoch}; the weights are those of epoch {best_epoch} again")',
        ),
    ]
    return program(run_summary(experiment), [*run.imports, "import copy"], blocks)


def _evaluation(experiment: TrainingExperiment) -> str:
    return lines(
        "@torch.no_grad()",
        "def evaluate(x, y):",
        '    """Mean loss and share of right answers."""',
        "    logits = model(x)",
        "    right = logits.argmax(dim=1) == y",
        f"    return {loss_of(experiment.loss, 'logits', 'y')}.item(), right.float().mean().item()",
    )


def _loop(experiment: TrainingExperiment, rules: Sequence[StoppingRule], epochs: int, update: str) -> str:
    patience = next((rule for rule in rules if isinstance(rule, Patience)), None)
    strict = patience is not None and patience.min_delta > 0
    waits = "waited" if patience is not None else ""
    least = literal(patience.min_delta) if patience is not None else ""
    ends = [_condition(rule, experiment.validate_every) for rule in rules]
    body = lines(
        "loss, right = evaluate(x_validation, y_validation)",
        "curve.append((loss, right, *evaluate(x_train, y_train)))",
        'print(f"epoch {epoch}: validation {loss:.4g}, {right:.1%} right; training {curve[-1][2]:.4g}")',
        "waited += 1" if waits else "",
        f"if loss < improved - {least}:\n    improved, waited = loss, 0" if strict else "",
        "if loss < lowest:",
        "    lowest, best_epoch = loss, epoch",
        "    waited = 0" if waits and not strict else "",
        "    best = copy.deepcopy(model.state_dict())",
        f"if {' or '.join([*ends, f'epoch == {epochs}'])}:\n    break",
        f"for _ in range({experiment.validate_every}):",
        "    x, y = next(examples)",
        indented(update),
    )
    return lines(
        "curve, lowest = [], math.inf",
        "improved = math.inf  # the last loss that counted as an improvement" if strict else "",
        "waited = 0  # epochs without improvement" if waits else "",
        f"for epoch in range({epochs + 1}):",
        indented(body),
    )


def _condition(rule: StoppingRule, updates: int) -> str:
    if isinstance(rule, Patience):
        return f"waited >= {rule.patience}"
    if isinstance(rule, Target):
        return f"right >= {literal(rule.accuracy)}" if rule.loss is None else f"loss <= {literal(rule.loss)}"
    if isinstance(rule, Budget) and rule.updates is not None:
        return f"{updates} * epoch >= {rule.updates}"
    raise ValueError(f"a program knows patience, a target and a budget of updates, got {rule!r}; leave it out")
