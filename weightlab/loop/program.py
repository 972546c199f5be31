"""The PyTorch program of an update loop: its lines in the order in which they run, mistakes included."""

from __future__ import annotations

from weightlab.loop.experiment import BACKWARD, PREDICT, UPDATE, ZERO_GRAD, LoopExperiment
from weightlab.loop.problems import BATCH_SIZE, TOGETHER, WIDTH, digits_data
from weightlab.networks.initializers import initialization
from weightlab.networks.models import model
from weightlab.program_text import call, comment, indented, lines, literal, program
from weightlab.programs.data import data_code
from weightlab.programs.initializers import initialization_lines
from weightlab.programs.models import model_code

SHORTEST = 10  # passes


def loop_program(experiment: LoopExperiment, passes: int = SHORTEST) -> str:
    """The program of `experiment`, at least SHORTEST passes long; it raises what the loop raises.

    It leaves `history`: before the first pass and after each one the weight, or of the digits the two shares of right
    answers, mixed batches and batches sorted by class.
    """
    count = max(SHORTEST, passes)
    one_weight = experiment.entry.one_weight
    imports, blocks = _one_weight(experiment) if one_weight else _digits(experiment)
    body = lines(*(_line(experiment, line) for line in experiment.order), _seen(experiment))
    left_out = "" if one_weight else comment("Left out: how long weights and gradients are, layer by layer.")
    blocks.append(lines(left_out, f"history = [{_state(experiment)}]", f"for _ in range({count}):", indented(body)))
    return program(f"The update loop on {experiment.entry.label}.", imports, blocks)


def _line(experiment: LoopExperiment, line: int) -> str:
    if line == PREDICT and experiment.entry.one_weight:
        return "prediction = w * x"
    if line != UPDATE:
        return experiment.text(line)
    if not experiment.by_hand:
        return lines(_warning(experiment), experiment.text(line))
    move = "w -= learning_rate * w.grad"
    if not experiment.entry.one_weight:
        move = f"for w in model.parameters():\n    {move}"
    if experiment.no_grad:
        move = f"with torch.no_grad():\n{indented(move)}"
    return lines(_warning(experiment), move)


def _warning(experiment: LoopExperiment) -> str:
    """What the update runs into, as a remark."""
    order = experiment.order
    too_early = BACKWARD in order and UPDATE in order[: order.index(BACKWARD)]
    if too_early and experiment.by_hand:
        return "# raises TypeError in the first pass: there is no gradient yet, w.grad is None"
    if too_early and ZERO_GRAD not in order and not experiment.entry.one_weight:
        return "# in the second pass loss.backward() raises RuntimeError: it needs the weights as they were"
    if not experiment.no_grad:
        return "# raises RuntimeError: autograd would have to follow a change of its own leaf"
    return ""


def _loss(experiment: LoopExperiment) -> tuple[str, str]:
    """A definition of `loss_fn`, or a line that gives a loss of PyTorch's this name."""
    text = experiment.entry.losses[str(experiment.loss)].program
    return (text, "") if text.startswith("def ") else ("", f"loss_fn = {text}")


def _optimizer(experiment: LoopExperiment) -> str:
    parameters = "[w]" if experiment.entry.one_weight else "model.parameters()"
    rate = f"lr={literal(experiment.learning_rate)}"
    if experiment.by_hand:
        made = call("optimizer = torch.optim.SGD", [parameters]) + "  # whose zero_grad() is used"
        return lines(
            f"learning_rate = {literal(experiment.learning_rate)}", made if ZERO_GRAD in experiment.order else ""
        )
    momentum = [f"momentum={literal(experiment.momentum)}"] if experiment.momentum else []
    return call("optimizer = torch.optim.SGD", [parameters, rate, *momentum])


def _one_weight(experiment: LoopExperiment) -> tuple[list[str], list[str]]:
    entry = experiment.entry
    definition, named = _loss(experiment)
    start = entry.start if experiment.start is None else experiment.start
    pairs = [f"    torch.tensor([{_points(x)}, {_points(y)}], dtype=torch.float64)," for x, y in entry.points]
    imports = ["import itertools", "import torch", *(["from torch import nn"] if "nn." in definition + named else [])]
    setup = lines(
        "batches = itertools.cycle([  # x and y of each",
        *pairs,
        "])",
        f"w = torch.tensor({literal(float(start))}, dtype=torch.float64, requires_grad=True)",
        named,
        _optimizer(experiment),
    )
    return imports, [definition, setup]


def _points(values: tuple[float, ...]) -> str:
    return f"[{', '.join(literal(value) for value in values)}]"


def _digits(experiment: LoopExperiment) -> tuple[list[str], list[str]]:
    data = digits_data()
    settings = model("mlp", depth=1, width=WIDTH, activation="relu", batch_norm=True)
    examples, network = data_code(data), model_code(settings, data, 10)
    start = initialization_lines(initialization("he_normal"), settings.hidden_activation, network)
    definition, named = _loss(experiment)
    blocks = [
        *examples.definitions,
        definition,
        "torch.set_num_threads(1)  # sums over several threads round differently",
        examples.load,
        lines(
            f"weights_stream = torch.Generator().manual_seed({experiment.seed})",
            network.make,
            "model.double()",
            start,
        ),
        _batches(experiment.seed),
        lines("batches = all_batches()", named, _optimizer(experiment)),
        _validation(experiment.evaluate_in_train_mode),
        lines(
            comment("Orders of the validation examples: classes mixed, and one class after the other."),
            "mixed = torch.randperm(len(y_validation), generator=torch.Generator().manual_seed(0))",
            "by_class = y_validation.argsort()",
        ),
    ]
    return ["import torch", "from torch import nn", *examples.imports], blocks


def _batches(seed: int) -> str:
    return lines(
        "def all_batches():",
        f'    """Batches of {BATCH_SIZE}, each epoch in a new order; what does not fill a batch is left out."""',
        f"    generator = torch.Generator().manual_seed({seed + 1_000_000})",
        "    while True:",
        "        order = torch.randperm(len(x_train), generator=generator)",
        f"        for chosen in order[: len(order) // {BATCH_SIZE} * {BATCH_SIZE}].split({BATCH_SIZE}):",
        "            yield x_train[chosen], y_train[chosen]",
    )


def _validation(train_mode: bool) -> str:
    batches = f"zip(x_validation[order].split({TOGETHER}), y_validation[order].split({TOGETHER}))"
    return lines(
        "@torch.no_grad()",
        "def share_right(order):",
        f'    """Share of right answers in batches of {TOGETHER} validation examples, taken in this order."""',
        "    # model.eval() is missing: batch normalization takes the mean of each batch" if train_mode else "",
        "" if train_mode else "    model.eval()",
        f"    batches = {batches}",
        "    right = [model(x).argmax(dim=1) == y for x, y in batches]",
        "" if train_mode else "    model.train()",
        "    return torch.cat(right).double().mean().item()",
    )


def _state(experiment: LoopExperiment) -> str:
    return "w.item()" if experiment.entry.one_weight else "(share_right(mixed), share_right(by_class))"


def _seen(experiment: LoopExperiment) -> str:
    shown = 'print(f"loss {loss.item():.4g}, w {w.item():.4g}, w.grad {w.grad.item():.4g}")'
    if not experiment.entry.one_weight:
        shown = 'print("loss {:.4g}, right: {:.1%} mixed, {:.1%} by class".format(loss.item(), *history[-1]))'
    return lines(f"history.append({_state(experiment)})", shown)
