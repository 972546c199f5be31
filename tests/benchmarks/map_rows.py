"""The map: tens of thousands of learners in one pass, against a loop over torch.optim and against compiled JAX."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from benchmarks.side_by_side import Row, Timed, absent, in_turn, is_there, row
from torch import Tensor

from weightlab.descent.landscapes import Landscape, landscape, landscape_from_function
from weightlab.descent.sweep import sweep

Loss = Callable[[Any, Any], Any]  # of two weights: torch tensors or JAX arrays

TOPS = {"quadratic": 0.45, "rosenbrock": 8e-4}  # largest learning rate: a fifth of the learners diverge, or none


def quadratic(x: Any, y: Any) -> Any:
    return 0.5 * (x**2 + 10 * y**2)


def rosenbrock(x: Any, y: Any) -> Any:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


LOSSES: dict[str, Loss] = {"quadratic": quadratic, "rosenbrock": rosenbrock}


def plane(side: int, top: float) -> tuple[Tensor, Tensor]:
    """Momenta and learning rates of side² learners."""
    pairs = torch.cartesian_prod(
        torch.linspace(0.0, 0.99, side, dtype=torch.float64), torch.linspace(top / side, top, side, dtype=torch.float64)
    )
    return pairs[:, 0].contiguous(), pairs[:, 1].contiguous()


def by_torch_optim(loss: Loss, start: tuple[float, float], rate: float, momentum: float, steps: int) -> Tensor:
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=rate, momentum=momentum)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(w[0], w[1]).backward()
        optimizer.step()
    return w.detach()


def by_jax(loss: Loss, start: tuple[float, float], rates: Tensor, momenta: Tensor, steps: int) -> tuple[Any, float]:
    """A compiled function () -> final weights (learner, 2), and the seconds that compiling it took."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    gradient = jax.grad(lambda w: loss(w[0], w[1]))

    def learner(rate: Any, momentum: Any) -> Any:
        def step(carried: Any, _: None) -> Any:
            w, velocity = carried
            velocity = momentum * velocity + gradient(w)
            return (w - rate * velocity, velocity), None

        (w, _), _ = jax.lax.scan(step, (jnp.array(start), jnp.zeros(2)), None, length=steps)
        return w

    arguments = jnp.array(rates.numpy()), jnp.array(momenta.numpy())
    begun = time.perf_counter()
    compiled = jax.jit(jax.vmap(learner)).lower(*arguments).compile()
    return lambda: compiled(*arguments).block_until_ready(), time.perf_counter() - begun


def rows(quick: bool = False) -> Iterator[Row]:
    for name, loss in LOSSES.items():
        where = landscape(name)
        yield from _rows(name, where, loss, quick, "≥ 50,000", "≥ 0.4")
    own = landscape_from_function(rosenbrock, where.bounds, where.start)
    yield from _rows("rosenbrock", own, rosenbrock, quick, "≥ 10,000", "")


def _rows(name: str, where: Landscape, loss: Loss, quick: bool, by_optim: str, by_compiler: str) -> Iterator[Row]:
    side, steps, each, repetitions = (8, 20, 1, 1) if quick else (200, 300, 2, 15)
    momenta, rates = plane(side, TOPS[name])
    settings = {"momentum": momenta, "learning_rate": rates}
    chosen = torch.linspace(0, len(rates) - 1, each * (repetitions + 1)).long().tolist()
    waiting = list(chosen)
    reached: dict[int, Tensor] = {}

    def some_by_optim() -> None:
        for learner in [waiting.pop() for _ in range(each)]:
            reached[learner] = by_torch_optim(loss, where.start, rates[learner].item(), momenta[learner].item(), steps)

    timed: dict[str, Timed] = {
        "weightlab": lambda: _discard(sweep(where, "momentum", settings, steps=steps, pairs=0)),
        "a loop over torch.optim.SGD": some_by_optim,
    }
    analytic = where.gradient_function is not None
    compiled, compiling = None, 0.0
    if analytic and is_there("jax"):
        compiled, compiling = by_jax(loss, where.start, rates, momenta, steps)
        timed["jax"] = lambda: _discard(compiled())
    times = in_turn(timed, repetitions)
    ends = sweep(where, "momentum", settings, steps=steps, pairs=0).weights[-1]
    check_equal(ends[list(reached)], torch.stack(list(reached.values())), "torch.optim")
    if compiled is not None:
        check_equal(ends, torch.tensor(compiled().tolist(), dtype=torch.float64), "JAX")
    what = f"map, {side**2:,} learners × {steps} momentum steps, {name}{'' if analytic else ' as your own function'}"
    yield row(
        f"{what}: per learner", times, "weightlab", "a loop over torch.optim.SGD", wanted=by_optim,
        ours_each=side**2, theirs_each=each, scale=1e6, unit="µs",
    )  # fmt: skip
    if compiled is not None:
        against = f"JAX jit(vmap(scan)), {compiling:.2g} s of compiling apart"
        yield row(what, times, "weightlab", "jax", against, by_compiler)
    elif analytic:
        yield absent(what, "JAX")


def _discard(result: object) -> None:
    """A timed function returns None."""


def check_equal(ours: Tensor, theirs: Tensor, peer: str) -> None:
    """The same weights (learner, 2) to rounding; where weightlab says NaN, the other has gone far or is not finite."""
    diverged = ours.isnan().any(-1)
    far = ~(theirs.abs().amax(-1) <= 1e6)
    if not (bool(far[diverged].all()) and torch.allclose(ours[~diverged], theirs[~diverged], rtol=1e-6, atol=1e-9)):
        raise AssertionError(f"weightlab and {peer} do not come to the same weights")
