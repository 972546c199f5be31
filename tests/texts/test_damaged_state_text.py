"""Damaged state texts: whatever the text, it is read or refused with the part that is wrong; never anything else."""

from __future__ import annotations

import string

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from state_strategies import VALID

from weightlab.descent.experiment import DescentExperiment
from weightlab.descent.landscapes import landscape
from weightlab.rules.update_rules import optimizer
from weightlab.texts.experiments import from_text, panel_text, panel_values, to_text
from weightlab.texts.words import LONGEST


def read(text: str) -> object:
    return panel_values(text, "epochs") if text.startswith("weightlab1/panel/epochs") else from_text(text)


WRONG = [
    ("", "begins with weightlab1/, got ''"),
    ("hello", "begins with weightlab1/, got 'hello'"),
    ("weightlab1", "unknown kind of state text ''"),
    ("weightlab1/descend/quadratic/adam", "did you mean 'descent'"),
    ("weightlab7/descent/quadratic/adam", "of version 7, versions up to 1 can be read here; install a newer"),
    ("weightlab0/descent/quadratic/adam", "of version 0, .*; copy it again"),
    ("weightlab1/descent/quadratic//adam", "a part of the text is missing"),
    ("weightlab1/descent/quadratic/adam/", "a part of the text is missing"),
    ("weightlab1/descent/quadratic", "begins with a landscape and at least one update rule, got 'quadratic'"),
    ("weightlab1/descent/quadratc/adam", "part 'quadratc' .* did you mean 'quadratic'"),
    ("weightlab1/descent/quadratic/adma", "part 'adma' of the text: unknown update rule .* 'adam'"),
    ("weightlab1/descent/quadratic/adam,bta1=0.5", "setting of update rule adam 'bta1': did you mean 'beta1'"),
    ("weightlab1/descent/quadratic/adam,lr=-1", r"part 'adam,lr=-1' .*learning_rate must be in \[0, 1e\+20\], got -1"),
    ("weightlab1/descent/quadratic/adam,lr", "'lr' is no setting: name=value is expected"),
    ("weightlab1/descent/quadratic/adam,lr=", "a value is missing"),
    ("weightlab1/descent/quadratic/adam,lr=1,lr=2", "'lr' is given twice"),
    ("weightlab1/descent/quadratic/adam,lr=1,learning_rate=2", "'learning_rate' is given twice, once as 'lr'"),
    ("weightlab1/descent/quadratic/adam,lr=1e999", "'1e999' is too large for a number"),
    ("weightlab1/descent/quadratic/adam,lr=~31", "learning_rate must be a number, got '1'"),
    ("weightlab1/descent/quadratic/adam,lr=~3", "'~3' is no word"),
    ("weightlab1/descent/quadratic/adam,lr=~FF", "no text in UTF-8"),
    ("weightlab1/descent/quadratic/adam/stps=3", "field of a descent experiment 'stps': did you mean 'steps'"),
    ("weightlab1/descent/quadratic/adam/steps=3/steps=4", "'steps' is given twice"),
    ("weightlab1/descent/quadratic/adam/steps=none", "do not make an experiment: steps must be a number, got None"),
    ("weightlab1/descent/quadratic/adam/start=1", "part 'start=1' .* two numbers"),
    ("weightlab1/descent/quadratic/adam/schedule=cosin", "unknown schedule 'cosin': did you mean 'cosine'"),
    ("weightlab1/descent/quadratic/adam/each,momentum=0.5", "'each' sets momentum, which none of the rules"),
    ("weightlab1/descent/quadratic/adam/each,lr=1/each,eps=1", "an 'each' before it"),
    ("weightlab1/descent/quadratic/adam/from=9,lr=1", "stands in parts of its own: from=9/momentum"),
    ("weightlab1/descent/quadratic/adam/from=9/momentum", "a change keeps the rules"),
    ("weightlab1/descent/quadratic/adam/from=0/adam", "step of a change must be in"),
    ("weightlab1/descent/quadratic/torch.Adagra", "class of torch.optim 'Adagra': did you mean 'Adagrad'"),
    ("weightlab1/descent/quadratic/torch.lr_scheduler", "unknown class of torch.optim 'lr_scheduler'"),
    ("weightlab1/descent/quadratic/torch.Optimizer", "takes no learning rate"),
    ("weightlab1/descent/quadratic/torch.LBFGS,history_size=999999999", r"history_size must be in \(-inf, 1000\]"),
    ("weightlab1/descent/quadratic/torch.LBFGS,max_iter=999999999", r"max_iter must be in \(-inf, 1000\]"),
    ("weightlab1/descent/quadratic,name=3/adam", "setting of landscape quadratic 'name'"),
    ("weightlab1/descent/beale,kappa=3/adam", "landscape 'beale' has no settings"),
    ("weightlab1/training/mlp/moons", "a training text begins with a model, a dataset and an update rule"),
    ("weightlab1/training/mlp/moons,samples=99999999/adam", r"samples must be in \[20, 100000\]"),
    ("weightlab1/training/mlp,width=99999999/moons/adam", r"width must be in \[1, 4096\]"),
    ("weightlab1/training/mlp,batch_norm=1/moons/adam", "batch_norm must be True or False, got 1"),
    ("weightlab1/training/cnn/moons/adam", "do not make an experiment: model 'cnn' does not fit"),
    ("weightlab1/training/mlp/moons/adam/rest=adam", "part 'adam' .* moves every parameter, so nothing is left"),
    ("weightlab1/training/mlp/moons/muon/rest=adma", "part 'rest=adma' .*unknown update rule 'adma': did you mean"),
    ("weightlab1/training/mlp/moons/muon/rest=adam/rest=adam", "part 'rest=adam' .*one behind each"),
    ("weightlab1/descent/quadratic/rest=adam/adam", "part 'rest=adam' .*a rest stands behind the rule"),
    ("weightlab1/training/mlp/moons/torch.Muon", "part 'torch.Muon' .*matrices only: .*rest=optimizer"),
    ("weightlab1/training/mlp/moons/adam/group=bias", "unknown parameters of a group 'bias': did you mean 'biases'"),
    ("weightlab1/training/mlp/moons/adam/group=", "part 'group=' of the text: '' is no word"),
    ("weightlab1/training/mlp/moons/adam/group=first,rate=-1", r"part 'group=first,rate=-1' .*rate_factor must be in"),
    ("weightlab1/training/mlp/moons/adam/group=first,speed=2", "setting of a group 'speed': choose one of 'rate'"),
    ("weightlab1/training/mlp/moons/adam/group=first,frozen=1", "'frozen' stands without a value: group=first,frozen"),
    ("weightlab1/training/mlp/moons/adam/group=first,frozen,frozen", "'frozen' is given twice"),
    ("weightlab1/training/mlp/moons/adam/group=norms", "the group 'norms' .* has no parameter in this network"),
    ("weightlab1/descent/quadratic/adam/group=first", "unknown field of a descent experiment 'group'"),
    ("weightlab1/training/mlp/moons/adam/from=3", "settings from there on are missing"),
    ("weightlab1/training/mlp/moons/adam/from=3,momentum=0.5", "unknown setting of a run 'momentum'"),
    ("weightlab1/panel/epochs/width=3", "the state of a panel, not an experiment"),
    ("weightlab1/descent/quadratic/adam?", r"character 34 of the text is '\?'"),
    ("w" * (LONGEST + 1), "at most 4,000 characters, got 4,001"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text[:60] for text, _ in WRONG])
def test_a_damaged_text_says_which_part_is_wrong_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_text(text)


def either_reads_or_explains(text: str) -> None:
    try:
        found = read(text)
    except ValueError as refusal:
        assert str(refusal)
    else:
        again = read(panel_text("epochs", found) if isinstance(found, dict) else to_text(found))  # type: ignore[arg-type]
        assert again == found


@st.composite
def edited(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        kind = draw(st.sampled_from(("delete", "insert", "replace", "swap", "truncate", "repeat")))
        length = draw(st.integers(1, 8))
        new = draw(st.text(string.ascii_lowercase + string.digits + "-._~/:,=%ü", min_size=1, max_size=3))
        text = {
            "delete": text[:place] + text[place + length :],
            "insert": text[:place] + new + text[place:],
            "replace": text[:place] + new + text[place + len(new) :],
            "swap": text[:place] + text[place + 1 : place + 2] + text[place : place + 1] + text[place + 2 :],
            "truncate": text[:place],
            "repeat": text[:place] + text[place : place + length] + text[place:],
        }[kind]
    return text


@settings(max_examples=400, deadline=None)
@given(edited())
def test_an_edited_text_is_read_or_explained(text: str) -> None:
    either_reads_or_explains(text)


WORDS = (
    *("weightlab1", "descent", "training", "panel", "epochs", "/", "/", "/", "/", ",", ",", "=", "=", ":", "~", "~2F"),
    *("each", "from", "lr", "momentum", "adam", "torch.", "torch.SGD", "own:", "own:x", "quadratic", "cliff", "kappa"),
    *("group=", "rest=", "first", "biases", "frozen", "rate", "decay", "muon"),
    *("depth", "mlp", "cnn", "moons", "samples", "noise", "schedule=", "steps=", "start=", "seed=", "device="),
    *("0", "1", "-1", "1e9", "1e999", "0.5", "true", "none"),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=14).map("".join), st.sampled_from(("", *VALID)))
def test_a_text_of_the_right_words_in_any_order_is_read_or_explained(words: str, begun: str) -> None:
    either_reads_or_explains(begun + words if begun else f"weightlab1/descent/quadratic/{words}")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_at_all_is_read_or_explained(text: str) -> None:
    either_reads_or_explains(text)


def test_what_is_no_text_or_no_experiment_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="a state text is a string, got int"):
        from_text(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a DescentExperiment or a TrainingExperiment is asked for, got 3"):
        to_text(3)  # type: ignore[arg-type]


def _odd(i: int) -> dict[str, float]:
    return {"learning_rate": i / 700, "beta1": i / 703, "beta2": i / 701, "eps": (i + 1) / 709}


def test_an_experiment_that_no_text_can_hold_is_refused() -> None:
    many = tuple(optimizer("adam", **_odd(i)) for i in range(64))
    with pytest.raises(ValueError, match=r"the text would have .* characters, at most 4,000"):
        to_text(DescentExperiment(landscape("beale"), many))
    searching = optimizer(torch.optim.LBFGS, max_iter=2000)
    with pytest.raises(ValueError, match=r"max_iter must be in \(-inf, 1000\], got 2000"):
        to_text(DescentExperiment(landscape("beale"), (searching,)))
