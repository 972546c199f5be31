"""Closed forms for two classes of which one is rare: shares of the gradient, accuracy, precision, thresholds.

The rare class is class 1. "1:R" means R common examples for each rare one. Arguments may be numbers or tensors.
"""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor

from weightlab.validate import number, whole_number

Value = TypeVar("Value", float, Tensor)


def starting_share(ratio: float, weight_ratio: float = 1.0) -> float:
    """The rare class's share of the output bias's gradient while every prediction is 1/2: w/(w + R).

    weight_ratio: how many times a rare example counts as much as a common one, or is drawn as often. The derivative of
    the cross-entropy by the output is p - y (Bishop 2006, eq. 4.91), so here all examples pull equally hard.
    """
    ratio = number("ratio", ratio, 0, open_low=True)
    weight_ratio = number("weight_ratio", weight_ratio, 0, open_low=True)
    return weight_ratio / (weight_ratio + ratio)


def settled_share() -> float:
    """The same share at a minimum: the two parts add up to zero, so they are equally long, whatever the ratio."""
    return 0.5


def settled_pull(share: float) -> float:
    """Each class's part of the output bias's gradient once every prediction is the rare class's `share` q: q(1 - q).

    So it is when the bias has settled and nothing else is learnt yet; examples weigh 1 on average.
    """
    return share * (1 - share)


def share_of_batches_without(rare: int, examples: int, batch_size: int) -> float:
    """Probability that a batch drawn without repetition holds none of `rare` among `examples`.

    C(n - r, b)/C(n, b), the hypergeometric probability of zero; about (1 - r/n)^b.
    """
    examples = whole_number("examples", examples, 1, 10**9)
    rare = whole_number("rare", rare, 0, examples)
    batch_size = whole_number("batch_size", batch_size, 1, examples)
    if batch_size > examples - rare:
        return 0.0
    return math.prod(1 - batch_size / (examples - i) for i in range(rare))


def scatter_of_rare(ratio: float, batch_size: int) -> float:
    """Standard deviation of the number of rare examples in a batch, over its mean: √(R/b).

    The binomial's √(p(1 - p)b)/(pb) at p = 1/(R + 1); drawn without repetition it is a little less.
    """
    return math.sqrt(number("ratio", ratio, 0) / whole_number("batch_size", batch_size, 1, 10**9))


def accuracy_of_never(ratio: float) -> float:
    """Share of right answers of whoever always says "common": R/(R + 1)."""
    return number("ratio", ratio, 0) / (ratio + 1)


def accuracy(recall: Value, false_alarm_rate: Value, ratio: float) -> Value:
    """Share of right answers at 1:R."""
    return (recall + ratio * (1 - false_alarm_rate)) / (1 + ratio)


def balanced_accuracy(recall: Value, false_alarm_rate: Value) -> Value:
    """Mean of the two classes' shares of right answers (Brodersen et al. 2010); no ratio comes in."""
    return (recall + 1 - false_alarm_rate) / 2


def precision(recall: Value, false_alarm_rate: Value, ratio: float) -> Value:
    """Share of alarms that are right at 1:R, by Bayes' rule; NaN where there is no alarm."""
    alarms = recall + ratio * false_alarm_rate
    if isinstance(alarms, Tensor):
        return recall / alarms  # 0/0 is NaN
    return recall / alarms if alarms else math.nan


def cost_per_case(recall: Value, false_alarm_rate: Value, ratio: float, miss: float, false_alarm: float) -> Value:
    """Expected cost of a case at 1:R, when a right answer costs nothing."""
    return (miss * (1 - recall) + false_alarm * ratio * false_alarm_rate) / (1 + ratio)


def cheapest_threshold(miss: float, false_alarm: float = 1.0) -> float:
    """Say "rare" from this probability on: C_FA/(C_FA + C_miss) (Elkan 2001, section 1.2, eq. 2).

    It holds for probabilities that are right. Below it an alarm's expected cost is larger than a miss's.
    """
    miss = number("miss", miss, 0, open_low=True)
    false_alarm = number("false_alarm", false_alarm, 0, open_low=True)
    return false_alarm / (false_alarm + miss)


def equivalent_threshold(threshold: float, weight_ratio: float) -> float:
    """Where an unweighted classifier decides as a weighted one does at `threshold`: t/(t + w(1 - t)).

    Counting rare examples w times multiplies the odds by w (Elkan 2001, theorem 1; Saerens et al. 2002, eq. 4). It
    holds for the true probabilities; a network that is not yet there follows it roughly.
    """
    threshold = number("threshold", threshold, 0, 1)
    weight_ratio = number("weight_ratio", weight_ratio, 0, open_low=True)
    return threshold / (threshold + weight_ratio * (1 - threshold))
