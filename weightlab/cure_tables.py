"""What treatments come to, in words and in tables of text."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from weightlab.cures import CURES, Treatment

HEALTHY = (0.003, 30.0)  # gradient norms at the first layer or time step; near the output they are 0.05 to 0.7
UNSTEADY = 5.0  # from such a gradient on (at η = 0.1) rounding decides how a run ends
STILL_LARGE, FEW = 10.0, 0.5  # bounds for such ends
WORSE = 3.0  # a factor beyond the spread over seeds of the deep networks


def cures_table(treatments: Mapping[str, Treatment]) -> str:
    """One line a cure: gradient at the first layer or time step, size of the first update, afterwards, what it does.

    Magnitudes are geometric means over the seeds; ×÷ is the factor of one standard deviation of the logarithm.
    "later" leaves out seeds that diverged. Where the gradient is large rounding errors grow, which differ from run
    to run: there the ends are given as above or below a bound.
    """
    untreated = treatments["none"]
    deep = not untreated.disease.recurrent
    place = "layer 1" if deep else "time step 1"
    lines = [
        f"{untreated.disease.label:20}{'|g| at ' + place:>19}{'|Δw|/η':>9}{'|g| later':>11}"
        f"{'  right' if deep else '':7}  verdict"
    ]
    for one in treatments.values():
        middle, spread = logarithmic_mean(one.first)
        later, share = _endings(one)
        share = share if deep else ""
        lines.append(
            f"{one.cure.label:20}{f'{middle:.1e} ×÷ {spread:.2g}':>19}{logarithmic_mean(one.update)[0]:>9.1e}"
            f"{later:>11}{share:>7}  {verdict(one, untreated)}"
        )
    return "\n".join(lines)


def _endings(treatment: Treatment) -> tuple[str, str]:
    """The gradient afterwards and the share right, as far as they can be repeated."""
    later, right = logarithmic_mean(treatment.after[:, 0])[0], float(treatment.right.mean())
    if logarithmic_mean(treatment.first)[0] <= UNSTEADY:
        share = "–" if treatment.diverged else f"{right:.0%}"
        return f"{later:.1e}", share
    large = f"> {STILL_LARGE:g}" if later > STILL_LARGE else f"< {STILL_LARGE:g}"
    return (
        "–" if treatment.diverged == len(treatment.right) else "0" if later == 0 else large,
        "–" if treatment.diverged else f"{'<' if right < FEW else '>'} {FEW:.0%}",
    )


def cures_summary(wards: Mapping[str, Mapping[str, Treatment]]) -> str:
    """One line a cure, one column a disease: the verdicts, "·" where the network has no place for the cure."""
    names = [name for name in CURES if name != "none" and any(name in ward for ward in wards.values())]
    lines = [f"{'':17}" + "".join(f"{ward['none'].disease.label:22}" for ward in wards.values())]
    for name in names:
        found = [verdict(ward[name], ward["none"]) if name in ward else "·" for ward in wards.values()]
        lines.append(f"{CURES[name].label:17}" + "".join(f"{one:22}" for one in found))
    return "\n".join(line.rstrip() for line in lines)


def logarithmic_mean(values: Tensor) -> tuple[float, float]:
    """Geometric mean and the factor of one standard deviation of the logarithm, without NaN; (0, 1) with a zero."""
    known = values[~values.isnan()].double()
    if len(known) == 0 or bool((known <= 0).any()):
        return 0.0, 1.0
    logs = known.log()
    return float(logs.mean().exp()), float(logs.std(correction=0).exp())


def verdict(treatment: Treatment, untreated: Treatment) -> str:
    """What the cure did for the gradient, by geometric means over the seeds and the bounds of HEALTHY."""
    low, high = HEALTHY
    first, before = logarithmic_mean(treatment.first)[0], logarithmic_mean(untreated.first)[0]
    vanishing = before < low
    if treatment is untreated:
        seeds = len(treatment.right)  # whether one of several diverges may hang on its rounding errors
        ending = f", {seeds} of {seeds} diverge" if treatment.diverged == seeds else ""
        return ("vanishes" if vanishing else "explodes") + ending
    if low <= first <= high:
        return "cures"
    if not vanishing and first < low:
        return "vanishes instead"
    later, without = (logarithmic_mean(one.after[:, 0])[0] for one in (treatment, untreated))
    faded = first < before / WORSE or later < without / WORSE
    if faded if vanishing else first > before * WORSE:
        return "makes it worse"
    if vanishing:
        return "helps, not enough" if first > before * WORSE else "does nothing"
    if logarithmic_mean(treatment.update)[0] <= high:
        return "bounds the update"
    return "only survives it" if _lost(untreated) and not _lost(treatment) else "does nothing"


def _lost(treatment: Treatment) -> bool:
    """Whether a run diverged, or ended where no gradient is left."""
    return treatment.diverged > 0 or logarithmic_mean(treatment.after[:, 0])[0] == 0
