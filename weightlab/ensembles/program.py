"""The PyTorch program of many networks: one run after the other, in a loop over what differs between them."""

from __future__ import annotations

from weightlab.ensembles.choices import ACTIVATIONS_COMPARED, INITIALIZERS_COMPARED, Choices
from weightlab.networks.activations import ACTIVATIONS
from weightlab.networks.initializers import INITIALIZERS
from weightlab.program_text import arguments, call, comment, indented, lines, literal, program
from weightlab.programs.training import RunCode, run_code
from weightlab.programs.updates import update_lines
from weightlab.training.experiment import TrainingExperiment
from weightlab.training.recorder import LOSS_LIMIT

_FILL = '''def fill(layer, start, gain, generator):
    """First weights of a layer; He's are as large as the activation behind it asks for."""
    if start == "nn.Linear default":
        nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
        bound = 1 / math.sqrt(layer.weight[0].numel())
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        return
    if start == "Xavier":
        nn.init.xavier_normal_(layer.weight, generator=generator)
    else:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear", generator=generator)
        layer.weight.data.mul_(gain)
    nn.init.zeros_(layer.bias)'''


def ensemble_program(choices: Choices) -> str:
    """The program of `train_together(choices.experiments)`, choices as rate_choices or start_choices make them.

    It leaves `results`: choice -> losses (seed, update) and shares of right answers (seed,). Raises ValueError for
    other schedules than the constant one and for all examples at once.
    """
    first = choices.experiments[0]
    if first.batch_size is None:
        raise ValueError("batch_size must be a number here, got None; see program_of for all examples at once")
    if not first.schedule.is_constant:
        raise ValueError(f"the schedule must be 'constant' here, got {first.schedule.name!r}; see program_of")
    run, starts = run_code(first), choices.first_gradients is not None
    threads, *_ = run.setup
    blocks = [
        *run.definitions,
        _FILL if starts else "",
        threads,
        run.data,
        run.batches.replace("batches()", "batches(order_stream)"),
        _training(first, run, starts),
        _loop(choices, starts),
    ]
    imports = [*run.imports, "import statistics", *(["import itertools"] if starts else [])]
    varied = "activation and initialization" if starts else "the learning rate"
    summary = f"{len(choices.experiments)} networks that differ in {varied}; {first.optimizer.label}."
    return program(summary, imports, blocks)


def _training(first: TrainingExperiment, run: RunCode, starts: bool) -> str:
    varied = "activation, start, seed" if starts else "lr, seed"
    rate = f"lr={literal(run.updates.optimizer.rate)}" if starts else "lr=lr"
    made = ["model.parameters()", rate, *arguments(run.updates.optimizer.arguments)[1:]]
    found = "hidden[0].weight.grad.norm() / hidden[-1].weight.grad.norm()"
    also, ratio = (", first gradient 1 : last hidden layer", ", ratio") if starts else ("", "")
    body = lines(
        f'"""Losses before each update, share right in the end{also}."""',
        run.streams.replace(f"manual_seed({first.seed})", "manual_seed(seed)"),
        _network(first, run.model) if starts else run.model,
        call(f"optimizer = {run.updates.optimizer.constructor}", made, 1),
        f"losses = torch.full(({first.steps},), math.inf)",
        f"for step, (x, y) in zip(range({first.steps}), batches(order_stream)):",
        indented(update_lines(run.updates)),
        "    losses[step] = loss.item()",
        f"    if step == 0:\n        ratio = {found}" if starts else "",
        f"    if not losses[step] <= {LOSS_LIMIT:.0f} * max(1.0, losses[0]):",
        f"        return losses, torch.tensor(0.0){ratio}  # diverged: nothing is right",
        "with torch.no_grad():",
        "    right = model(x_validation).argmax(dim=1) == y_validation",
        f"return losses, right.float().mean(){ratio}",
    )
    return f"def train({varied}):\n{indented(body)}"


def _network(first: TrainingExperiment, model: str) -> str:
    """The lines of `model` for any activation and initialization."""
    name = str(dict(first.model.settings)["activation"])
    make, rest = model.split("model.double()\n")
    last = [line for line in rest.splitlines() if line.startswith(("model.float()", "model.to("))]
    return lines(
        make.replace(ACTIVATIONS[name].module_text, "ACTIVATIONS[activation]()").rstrip("\n"),
        "model.double()",
        "*hidden, output = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]",
        "for layer in hidden:",
        "    fill(layer, start, nn.init.calculate_gain(activation), weights_stream)",
        "fill(output, start, 1.0, weights_stream)",
        *last,
    )


def _loop(choices: Choices, starts: bool) -> str:
    if starts:
        kinds = ", ".join(f'"{f}": {ACTIVATIONS[f].module_text.removesuffix("()")}' for f in ACTIVATIONS_COMPARED)
        names = ", ".join(f'"{INITIALIZERS[name].short}"' for name in INITIALIZERS_COMPARED)
        head = [f"ACTIVATIONS = {{{kinds}}}", f"STARTS = [{names}]", "results = {}"]
        over, key = "for activation, start in itertools.product(ACTIVATIONS, STARTS):", "activation, start"
        label, more, shown = "{activation} + {start}", ", ratios", ", first gradient {ratio:.2g}"
    else:
        rates = ", ".join(literal(one.optimizer.learning_rate) for one in choices.experiments[:: choices.seeds])
        head = [f"RATES = [{rates}]", "results = {}"]
        over, key = "for lr in RATES:", "lr"
        label, more, shown = "learning rate {lr:g}", "", ""
    seeds = [one.seed for one in choices.experiments[: choices.seeds]]
    body = lines(
        f"runs = [train({key}, seed) for seed in range({seeds[0]}, {seeds[-1] + 1})]",
        f"losses, rights{more} = (torch.stack(part) for part in zip(*runs))",
        f"results[{key}] = losses, rights",
        "loss, right = statistics.median(losses[:, -1].tolist()), statistics.median(rights.tolist())",
        "ratio = statistics.median(ratios.tolist())" if starts else "",
        f'print(f"{label}: loss {{loss:.3g}}, {{right:.0%}} right{shown}")',
    )
    remark = (
        "Left out: theory, and that the panel also ends networks whose gradients have become too large. Where a "
        "loss jumps about, rounding decides its digits: the panel trains all networks in one tensor."
    )
    return lines(comment(remark), *head, over, indented(body))
