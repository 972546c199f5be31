"""The PyTorch program of a run that measures its sharpness: the Hessian's largest eigenvalue, without the Hessian."""

from __future__ import annotations

from weightlab.program_text import comment, indented, lines, program
from weightlab.programs.schedules import schedule_code
from weightlab.programs.training import optimizer_lines, run_code, run_summary, variable_lines
from weightlab.programs.updates import Updates, loss_of, update_lines
from weightlab.training.experiment import TrainingExperiment

_LIMITS = {  # of the sharpness, by theory's form, as sharpness.sharpness_limit has them
    "gradient_descent": '2 / group["lr"]',
    "momentum": '(2 + 2 * group["momentum"]) / group["lr"]',
    "nesterov": '(2 + 2 * group["momentum"]) / (1 + 2 * group["momentum"]) / group["lr"]',
}
_DRAWN = lines(
    "def drawn():",
    '    """A random direction."""',
    "    count = sum(parameter.numel() for parameter in model.parameters())",
    "    vector = torch.randn(count, generator=probes, dtype=torch.float64)",
    "    return (vector / vector.norm()).to(next(model.parameters()))",
)


def sharpness_program(experiment: TrainingExperiment, every: int = 5) -> str:
    """The program of `SharpnessWatch(experiment, every)`, the changes midway of the experiment included.

    It leaves `rows`: updates done, loss, sharpness, its limit (of gradient descent, momentum and Nesterov's) and the
    last update's part along the sharpest direction. Raises ValueError for another schedule than the constant one and
    for frozen parameters, along which the Hessian is measured too.
    """
    for group in experiment.groups:
        if group.frozen:
            raise ValueError(f"no group may be frozen here, got {group.parameters!r}; see program_of")
    if not experiment.schedule.is_constant:
        raise ValueError(f"the schedule must be 'constant' here, got {experiment.schedule.name!r}; see program_of")
    run = run_code(experiment)
    blocks = [
        *run.definitions,
        *run.setup,
        _sharpness(experiment),
        _DRAWN,
        lines(optimizer_lines(run.updates, schedule_code(experiment.schedule, False)),
              variable_lines(run.updates), "probes = torch.Generator().manual_seed(0)"),
        _loop(experiment, run.updates, every),
    ]
    return program(run_summary(experiment), run.imports, blocks)


def _sharpness(experiment: TrainingExperiment) -> str:
    loss = loss_of(experiment.loss, "model(x_train)", "y_train")
    return f'''def flat(parts):
    return torch.cat([part.flatten() for part in parts])


def sharpness(start):
    """Loss over all training examples, its Hessian's largest eigenvalue, and that one's direction.

    Lanczos 1950: products of the Hessian with vectors, and the best combination of all vectors so
    far. It ends when |Hv - value * v| is below 1 % of the value.
    """
    parameters = list(model.parameters())
    loss = {loss}
    gradient = flat(torch.autograd.grad(loss, parameters, create_graph=True))
    vectors, diagonal, beside = [start / start.norm()], [], []
    for _ in range(60):
        product = torch.autograd.grad(gradient, parameters, vectors[-1], retain_graph=True)
        product = flat(product)
        diagonal.append((vectors[-1] @ product).item())
        basis = torch.stack(vectors)
        for _ in range(2):  # once is not enough in float32
            product = product - basis.T @ (basis @ product)
        beside.append(product.norm().item())
        if not math.isfinite(diagonal[-1] + beside[-1]):
            return loss.item(), math.nan, start
        inner = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        off = torch.tensor(beside[:-1], dtype=torch.float64)
        values, combinations = torch.linalg.eigh(inner + torch.diag(off, 1) + torch.diag(off, -1))
        best = combinations[:, -1] * torch.where(combinations[0, -1] < 0, -1, 1)
        if beside[-1] * best[-1].abs() <= 0.01 * values[-1].abs():
            break
        vectors.append(product / beside[-1])
    direction = torch.stack(vectors[: len(best)]).T @ best.to(start)
    return loss.item(), values[-1].item(), direction / direction.norm()'''


def _limit(experiment: TrainingExperiment) -> str:
    form = experiment.optimizer.theory or ""
    momenta = [value for _, name, value in experiment.changes if name == "momentum"]
    moves_plainly = not any([*momenta, experiment.optimizer.settings.get("momentum", 0.0)])
    return _LIMITS.get("gradient_descent" if form in _LIMITS and moves_plainly else form, "")


def _loop(experiment: TrainingExperiment, updates: Updates, every: int) -> str:
    limit = _limit(experiment)
    batches = "step, (x, y) in zip(range({}), batches())" if experiment.batch_size else "step in range({})"
    aside = "With batches the limit, that of the full batch, need not hold." if experiment.batch_size else ""
    shown = "loss {loss:.4g}, sharpness {value:.4g}" + (", limit {limit:.4g}" if limit else "")
    measured = lines(
        "weights = flat(model.parameters()).detach()",
        "swing = ((weights - before) @ direction).item()",
        comment("begin where the last measurement ended, and with a little of a random direction"),
        "loss, value, direction = sharpness(direction + 0.1 * drawn())",
        "group = optimizer.param_groups[0]" if limit else "",
        f"limit = {limit}" if limit else "",
        f"rows.append((step + 1, loss, value, {'limit, ' if limit else ''}swing))",
        f'print(f"update {{step + 1}}: {shown}")',
    )
    return lines(
        comment(f"Left out: that the panel ends a run which has diverged. {aside}"),
        "first_loss, first_value, direction = sharpness(drawn())",
        'print(f"update 0: loss {first_loss:.4g}, sharpness {first_value:.4g}")',
        f"rows = []  # updates, loss, sharpness, {'limit, ' if limit else ''}last update's part along the direction",
        f"for {batches.format(experiment.steps)}:",
        indented(
            lines(
                updates.turns(False),
                "before = flat(model.parameters()).detach()",
                update_lines(updates),
                f"if (step + 1) % {every} == 0:\n{indented(measured)}",
            )
        ),
    )
