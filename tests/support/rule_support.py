"""Any settings of any update rule, and gradients that repeat."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from weightlab.rules.update_rules import SEES, UPDATE_RULES, OptimizerSettings

ELEMENTS, MATRICES = ([name for name, rule in UPDATE_RULES.items() if rule.sees == what] for what in SEES)


def drawn_settings(rule: str) -> st.SearchStrategy[OptimizerSettings]:
    share = st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.999]) | st.floats(0.0, 0.999)
    strategies: dict[str, st.SearchStrategy[float]] = {
        "learning_rate": st.sampled_from([0.0, 1e-3, 0.1, 1.0]) | st.floats(1e-6, 3.0),
        "momentum": st.floats(0.01, 0.99) if rule == "nesterov" else share,
        "dampening": st.just(0.0) if rule == "nesterov" else st.sampled_from([0.0, 0.3, 1.0]),
        "weight_decay": st.sampled_from([0.0, 1e-2, 0.5]),
        "alpha": share,
        "beta1": share,
        "beta2": share,
        "eps": st.sampled_from([1e-12, 1e-8, 1e-2]),
        "bias_correction": st.just(1.0),
        "nesterov": st.sampled_from([0.0, 1.0]),
        "ns_steps": st.sampled_from([0.0, 1.0, 5.0, 9.0]),
        "match_rms_adamw": st.sampled_from([0.0, 1.0]),
    }
    chosen = {name: strategies[name] for name in UPDATE_RULES[rule].defaults}
    return st.fixed_dictionaries(chosen).map(lambda values: OptimizerSettings(rule, values))


def some_gradients(steps: int, learners: int, n: int, seed: int = 0) -> Tensor:
    return torch.randn(steps, learners, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
