"""The update loop on a panel: Step runs exactly one line, switches make the classic mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weightlab.loop.experiment import (
    NO_ZERO_GRAD,
    STEP_FIRST,
    STEP_FIRST_NO_ZERO_GRAD,
    USUAL_ORDER,
    LoopExperiment,
    LoopRecord,
)
from weightlab.loop.picture import loop_picture, loop_reading
from weightlab.loop.problems import PROBLEMS
from weightlab.loop.program import loop_program
from weightlab.loop.run import UpdateLoop
from weightlab.pictures.still import still
from weightlab.pictures.style import Still
from weightlab.stage.controls import Choice, Control, Question, Slider, Toggle, logarithmic
from weightlab.stage.live_runs import OVER, LivePanel
from weightlab.validate import choose, number, whole_number

FIRST_LINES = 60  # what the step axes show before anything has run
LAST_LINE = 1260  # 210 updates; ten epochs of the digits
LEARNING_RATES = logarithmic(1e-3, 10.0, 81)
MOMENTA = (*(i / 20 for i in range(19)), 0.95, 0.99, 1.0)
PACES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)
MISTAKES = "Mistakes to try"
ORDERS = {  # by the switches: step() first, zero_grad() forgotten
    (False, False): USUAL_ORDER,
    (False, True): NO_ZERO_GRAD,
    (True, False): STEP_FIRST,
    (True, True): STEP_FIRST_NO_ZERO_GRAD,
}


def stepper_controls(problem: str) -> list[Control]:
    """The controls for a problem; all but the pace run the loop again from its start, to the place reached."""
    entry = PROBLEMS[problem]
    controls: list[Control] = [
        Slider("learning_rate", "Learning rate η", LEARNING_RATES, "size of each step"),
        Slider("momentum", "Momentum μ", MOMENTA, "share of the optimizer's buffer that is kept"),
        Slider("pace", "Lines a second", PACES, "after Start"),
    ]
    if len(entry.losses) > 1:
        controls.insert(0, Choice("loss", "Loss", tuple((name, loss.label) for name, loss in entry.losses.items())))
    controls += [
        Toggle("by_hand", "Write line 6 out by hand"),
        Toggle("forget_zero_grad", "Forget optimizer.zero_grad()", group=MISTAKES),
        Toggle("step_first", "optimizer.step() before loss.backward()", group=MISTAKES),
        Toggle("without_no_grad", "Line 6 by hand, without torch.no_grad()", group=MISTAKES),
    ]
    if not entry.one_weight:
        controls.append(Toggle("evaluate_in_train_mode", "Validate without model.eval()", group=MISTAKES))
    return controls


class StepperPanel(LivePanel):
    """A training loop that waits between its lines.

    problem: one of PROBLEMS. Step runs one line, Start runs them at the pace that is set. Changing a setting runs the
    loop again from its start to the same place (as many passes, the same line next), so that two loops can be
    compared. lines: how many have run when the panel opens. New seed draws other weights (digits). Values of the
    controls may be given by name. The first panel of a session makes the first torch.optim object, which takes seconds.
    """

    pictures_per_second = 20

    def __init__(
        self,
        problem: str = "line",
        *,
        lines: int = 0,
        seed: int = 0,
        questions: Sequence[Question] = (),
        title: str = "The update loop",
        **values: Any,
    ) -> None:
        self._problem = choose("problem", problem, PROBLEMS)
        controls = stepper_controls(problem)
        defaults: dict[str, Any] = {control.name: False for control in controls if isinstance(control, Toggle)}
        pace = 2.0 if PROBLEMS[problem].one_weight else 30.0
        defaults |= {"learning_rate": PROBLEMS[problem].learning_rate, "momentum": 0.0, "pace": pace}
        if len(PROBLEMS[problem].losses) > 1:
            defaults["loss"] = next(iter(PROBLEMS[problem].losses))
        for name in values:
            choose("setting", name, defaults)
        self._lines = whole_number("lines", lines, 0, LAST_LINE)
        self._loop: UpdateLoop | None = None
        self._sent = 0
        height = 400 if PROBLEMS[problem].one_weight else 500
        values = {**defaults, **values}
        super().__init__(controls, values, seed=seed, title=title, questions=questions, height=height)

    # ---- settings ------------------------------------------------------------------------------------------------

    def _build(self, values: dict[str, Any]) -> LoopExperiment:
        order = ORDERS[bool(values["step_first"]), bool(values["forget_zero_grad"])]
        by_hand = values["by_hand"] or values["without_no_grad"]
        return LoopExperiment(
            self._problem,
            values.get("loss"),
            values["learning_rate"],
            0.0 if by_hand else values["momentum"],
            order,
            by_hand,
            not values["without_no_grad"],
            evaluate_in_train_mode=values.get("evaluate_in_train_mode", False),
            seed=self._seed,
        )

    def _unused(self, values: dict[str, Any]) -> list[str]:
        return ["momentum"] if values["by_hand"] or values["without_no_grad"] else []

    def _apply(self, values: dict[str, Any], seq: int | None) -> None:
        experiment = self._build(values)  # refuses bad values before anything changes
        number("lines a second", values["pace"], 0.1, 1000)
        if self._loop is not None and experiment == self.experiment:
            self.values, self.notice = values, {}
            return
        self._begin(experiment, values, self._lines if self._loop is None else self._same_place(experiment), seq)

    def _same_place(self, experiment: LoopExperiment) -> int:
        """How many lines bring a loop of `experiment` to where this one is: as many passes, the same line next."""
        old, new = self.experiment.order, experiment.order
        passes, position = divmod(self._wanted, len(old))
        following = [line for line in old[position:] if line in new] if position else []
        return passes * len(new) + (new.index(following[0]) if following else 0)

    def _begin(self, experiment: LoopExperiment, values: dict[str, Any], lines: int, seq: int | None) -> None:
        loop = UpdateLoop(experiment)
        while loop.lines_done < lines and loop.step():
            pass
        self._loop, self.experiment, self._wanted = loop, experiment, lines
        self._run += 1
        self._settle()
        self.record = loop.record()
        self._sent = len(self.record.lines)
        with self.hold_sync():
            self._publish(values, loop_picture(self.record, LAST_LINE), loop_reading(self.record), seq)
            self._tell()

    @property
    def program(self) -> str:
        """A plain PyTorch program with the lines as they run, at least as many passes as have begun."""
        assert self._loop is not None
        return loop_program(self.experiment, -(-self._loop.lines_done // len(self.experiment.order)))

    # ---- the run -------------------------------------------------------------------------------------------------

    def _restart(self) -> None:
        self._state = "idle"
        self._begin(self._build(self.values), self.values, 0, None)

    def run(self, lines: int) -> LoopRecord:
        """Run `lines` more lines in this thread and return the record; what cells and tests use."""
        with self._lock:
            self._run_on(whole_number("lines", lines, 0, LAST_LINE))
            self._settle()
            self._rest()
            self._tell()
            record: LoopRecord = self.record
            return record

    def still(self) -> Still:
        """The present picture as a static figure with alt text; its step axes end where the loop is."""
        return still(loop_picture(self.record, FIRST_LINES), title=self.title)

    def _one_step(self) -> None:
        assert self._loop is not None
        if self._loop.lines_done < LAST_LINE:
            self._loop.step()
            self._wanted = self._loop.lines_done + bool(self._loop.error)
        self._settle()

    def _settle(self) -> None:
        """Whether the loop can go on."""
        assert self._loop is not None
        if self._loop.error:
            self._state = "stopped"
        elif self._loop.lines_done >= LAST_LINE:
            self._state = "finished"
        elif self._state in OVER:
            self._state = "paused"  # the setting that ended it is gone

    # ---- what the learner sees -----------------------------------------------------------------------------------

    def _show_progress(self) -> None:
        assert self._loop is not None
        if self._loop.lines_done < self._sent:  # the row before the first line is one of those sent
            return
        self.record = self._loop.record()
        picture = loop_picture(self.record, LAST_LINE)
        self.append_rows(picture.table[self._sent :], picture.steps[self._sent :], self._sent)
        self._sent = len(picture.steps)
        with self.hold_sync():
            self.reading, self.summary = loop_reading(self.record), picture.summary
            self._tell()

    def _rest(self) -> None:
        assert self._loop is not None
        self.record = self._loop.record()
        self._sent = len(self.record.lines)
        with self.hold_sync():
            self.reading = loop_reading(self.record)
            self.show(loop_picture(self.record, LAST_LINE), follow=True)
            self._measure_questions()

    def _greet(self) -> None:
        self._rest()
        self._tell()

    @property
    def _progress(self) -> str:
        assert self._loop is not None
        if self._loop.error:
            return self._loop.error.split(":")[0]
        if self._state in OVER:
            return f"{self._state} after {self._loop.lines_done} lines"
        line = self._loop.next_line
        return f"next: line {line}   {self._loop.experiment.shown(line)}"

    @property
    def _buttons(self) -> dict[str, Any]:
        by_lot = not PROBLEMS[self._problem].one_weight  # where nothing is drawn a new seed changes nothing
        return {"step_title": "One line", "seeds": by_lot}
