"""The PyTorch program of a loss surface: a run, a plane through its last weights, and the loss on it."""

from __future__ import annotations

from weightlab.program_text import comment, indented, lines, literal, program
from weightlab.programs.schedules import schedule_code
from weightlab.programs.training import optimizer_lines, run_code, run_summary, variable_lines
from weightlab.programs.updates import loss_of, update_lines
from weightlab.surfaces.weight_paths import PLANES, ROOM
from weightlab.training.experiment import TrainingExperiment
from weightlab.validate import choose

_DIRECTION = '''def random_direction(generator):
    """Each filter as long as the network's own, and nothing for biases (Li et al. 2018)."""
    parts = []
    for parameter in model.parameters():
        part = torch.zeros_like(parameter)
        if parameter.dim() > 1:
            drawn = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(part)
            scale = parameter.flatten(1).norm(dim=1) / drawn.flatten(1).norm(dim=1)
            part = drawn * scale[:, None]
        parts.append(part)
    return nn.utils.parameters_to_vector(parts).detach()'''
_ENDING = lines(
    "losses = torch.stack([loss_at(one) for one in path])",
    "plane_losses = torch.stack([loss_at(one) for one in nearest])",
    "offsets = (path - path[-1]).double()",
    "held = offsets @ torch.linalg.qr(basis.double()).Q",
    "share = (held.square().sum() / offsets.square().sum()).item()",
    comment("Left out: theory's share, contours, and that the panel ends a path where it is not finite."),
    'print(f"loss {losses[0]:.4g} at the start, {losses[-1]:.4g} at the end")',
    'print(f"on the plane {plane_losses[0]:.4g} at the start; it holds {share:.2%} of the path")',
    'print(f"the surface goes from {surface.min():.4g} to {surface.max():.4g}")',
)


def surface_program(
    experiment: TrainingExperiment, kind: str = "path", *, seed: int = 0, every: int = 5, points: int = 17,
    zoom: float = 1.0,
) -> str:
    """The program of `look(follow(experiment, every), kind, seed=seed, points=points, zoom=zoom)`.

    It leaves `path` (snapshots, weight), its `losses`, `places` (snapshots, 2) and `plane_losses` on the plane,
    `surface` (points, points) and the `share` of the path's variance. Raises ValueError for another plane, and for
    another schedule than the constant one.
    """
    choose("plane", kind, PLANES)
    if not experiment.schedule.is_constant:
        raise ValueError(f"the schedule must be 'constant' here, got {experiment.schedule.name!r}; see program_of")
    run = run_code(experiment)
    blocks = [
        *run.definitions,
        *run.setup,
        _functions(experiment),
        _DIRECTION if kind == "random" else "",
        lines(
            optimizer_lines(run.updates, schedule_code(experiment.schedule, False)),
            variable_lines(run.updates),
            "path = [weights()]",
            _loop(experiment, update_lines(run.updates), run.updates.turns(False), every),
            "path = torch.stack(path)",
        ),
        _plane(kind, seed),
        _window(kind, points, zoom),
        _ENDING,
    ]
    return program(run_summary(experiment), run.imports, blocks)


def _functions(experiment: TrainingExperiment) -> str:
    return f'''def weights():
    """All parameters as one vector."""
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@torch.no_grad()
def loss_at(vector):
    """The loss over all training examples at other weights, which stay in the model."""
    nn.utils.vector_to_parameters(vector, model.parameters())
    return {loss_of(experiment.loss, "model(x_train)", "y_train")}'''


def _loop(experiment: TrainingExperiment, update: str, turns: str, every: int) -> str:
    batches = "step, (x, y) in zip(range({}), batches())" if experiment.batch_size else "step in range({})"
    kept = "path.append(weights())"
    if every > 1:
        kept = f"if (step + 1) % {every} == 0:\n    {kept}"
    return lines(f"for {batches.format(experiment.steps)}:", indented(lines(turns, update, kept)))


def _plane(kind: str, seed: int) -> str:
    if kind == "random":
        return lines(
            f"generator = torch.Generator().manual_seed({seed})",
            "origin = weights()",
            "across, up = random_direction(generator), random_direction(generator)",
        )
    return lines(
        comment("The plane that holds most of the path: its first two principal components."),
        "origin = path[-1]",
        "*_, directions = torch.linalg.svd((path[:-1] - origin).double(), full_matrices=False)",
        "across, up = directions[:2].to(path.dtype)",
    )


def _window(kind: str, points: int, zoom: float) -> str:
    if kind == "random":
        end = literal(1 / zoom)
        axes = f"columns = rows = torch.linspace(-{end}, {end}, {points})"
    else:
        axes = lines(
            "low, high = places.amin(dim=0), places.amax(dim=0)",
            f"room = {ROOM} * torch.clamp(high - low, min=0.15 * float((high - low).max()))",
            f"ends = zip({_zoomed('low - room', zoom)}, {_zoomed('high + room', zoom)})",
            f"columns, rows = (torch.linspace(float(a), float(b), {points}) for a, b in ends)",
        )
    return lines(
        comment("For every snapshot the point of the plane that is nearest to it."),
        "basis = torch.stack([across, up], dim=1)",
        "places = torch.linalg.lstsq(basis, (path - origin).T).solution.T",
        "nearest = origin + places @ basis.T",
        axes,
        "grid = [[loss_at(origin + a * across + b * up) for a in columns] for b in rows]",
        "surface = torch.tensor(grid)  # (row, column)",
    )


def _zoomed(ends: str, zoom: float) -> str:
    return ends if zoom == 1 else f"({ends}) / {literal(zoom)}"
