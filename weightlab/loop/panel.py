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
from weightlab.pictures.picture import Picture
from weightlab.pictures.still import still
from weightlab.pictures.style import Still
from weightlab.stage.controls import Choice, Question, Slider, Toggle, logarithmic
from weightlab.stage.lenses import Lens, Setting, Values, changed, field, view
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


def _by_hand(experiment: LoopExperiment, value: Any, values: Values) -> LoopExperiment:
    """Line 6 written out knows no momentum, and only there can torch.no_grad be forgotten."""
    by_hand = bool(values["by_hand"] or values["without_no_grad"])
    momentum = 0.0 if by_hand else values["momentum"]
    return changed(experiment, by_hand=by_hand, no_grad=not values["without_no_grad"], momentum=momentum)


def _put_momentum(experiment: LoopExperiment, value: Any, values: Values) -> LoopExperiment:
    return experiment if experiment.by_hand else changed(experiment, momentum=value)


def _put_order(experiment: LoopExperiment, value: Any, values: Values) -> LoopExperiment:
    return changed(experiment, order=ORDERS[bool(values["step_first"]), bool(values["forget_zero_grad"])])


def _switch(of_order: int) -> Lens:
    return Lens(lambda one: next(at for at, order in ORDERS.items() if order == one.order)[of_order], _put_order)


def stepper_settings(problem: str) -> list[Setting]:
    """What can be set for a problem; all but the pace runs the loop again from its start, to the place reached."""
    entry = PROBLEMS[problem]
    losses = tuple((name, loss.label) for name, loss in entry.losses.items())
    loss = Setting(Choice("loss", "Loss", losses), field("loss"), next(iter(entry.losses)))
    carried = Lens(lambda experiment: None if experiment.by_hand else experiment.momentum, _put_momentum)
    no_grad = Lens(lambda experiment: not experiment.no_grad, _by_hand)
    pace = view(lambda value: number("lines a second", value, 0.1, 1000))
    settings = [
        Setting(Slider("learning_rate", "Learning rate η", LEARNING_RATES, "size of each step"), field("learning_rate"),
                entry.learning_rate),
        Setting(Slider("momentum", "Momentum μ", MOMENTA, "share of the optimizer's buffer that is kept"), carried,
                0.0),
        Setting(Slider("pace", "Lines a second", PACES, "after Start"), pace, 2.0 if entry.one_weight else 30.0),
        Setting(Toggle("by_hand", "Write line 6 out by hand"), Lens(None, _by_hand), False),
        Setting(Toggle("forget_zero_grad", "Forget optimizer.zero_grad()", group=MISTAKES), _switch(1), False),
        Setting(Toggle("step_first", "optimizer.step() before loss.backward()", group=MISTAKES), _switch(0), False),
        Setting(Toggle("without_no_grad", "Line 6 by hand, without torch.no_grad()", group=MISTAKES), no_grad, False),
    ]  # fmt: skip
    if not entry.one_weight:
        modes = Toggle("evaluate_in_train_mode", "Validate without model.eval()", group=MISTAKES)
        settings.append(Setting(modes, field("evaluate_in_train_mode", bool), False))
    return [loss, *settings] if len(losses) > 1 else settings


class StepperPanel(LivePanel):
    """A training loop that waits between its lines.

    problem: one of PROBLEMS. Step runs one line, Start runs them at the pace that is set. Changing a setting runs the
    loop again from its start to the same place (as many passes, the same line next), so that two loops can be
    compared. lines: how many have run when the panel opens. New seed draws other weights (digits). Values of the
    controls may be given by name. The first panel of a session makes the first torch.optim object, which takes seconds.
    """

    pictures_per_second = 20

    heading = "The update loop"
    spelled = ("by_hand", "forget_zero_grad", "step_first", "without_no_grad", "evaluate_in_train_mode",
               "learning_rate", "momentum", "pace")  # fmt: skip

    def __init__(
        self,
        problem: str = "line",
        *,
        lines: int = 0,
        seed: int = 0,
        questions: Sequence[Question] = (),
        title: str = "",
        **values: Any,
    ) -> None:
        self._problem = choose("problem", problem, PROBLEMS)
        self._beginning = LoopExperiment(problem, seed=seed)
        self._wanted = whole_number("lines", lines, 0, LAST_LINE)
        self._sent = 0
        self.tall = 400 if PROBLEMS[problem].one_weight else 500  # type: ignore[misc]
        super().__init__(questions=questions, title=title, **values)

    # ---- settings ------------------------------------------------------------------------------------------------

    def _declared(self) -> list[Setting]:
        return stepper_settings(self._problem)

    def _first(self) -> LoopExperiment:
        return self._beginning

    def _apply(self, asked: LoopExperiment, every: dict[str, Any], seq: int | None) -> None:
        if self._every and asked == self.asked:
            self._keep(asked, every)
            return
        self._go_to(asked, every, self._same_place(asked) if self._every else self._wanted, seq)

    def _same_place(self, asked: LoopExperiment) -> int:
        """How many lines bring a loop of `asked` to where this one is: as many passes, the same line next."""
        old, new = self.asked.order, asked.order
        passes, position = divmod(self._wanted, len(old))
        following = [line for line in old[position:] if line in new] if position else []
        return passes * len(new) + (new.index(following[0]) if following else 0)

    def _begin(self, asked: LoopExperiment, every: dict[str, Any], seq: int | None) -> None:
        self._state = "idle"
        self._go_to(asked, every, 0, seq)

    def _go_to(self, asked: LoopExperiment, every: dict[str, Any], lines: int, seq: int | None) -> None:
        loop = UpdateLoop(asked)
        while loop.lines_done < lines and loop.step():
            pass
        self._loop, self._wanted = loop, lines
        self._run += 1
        self._settle()
        self.record = loop.record()
        self._sent = len(self.record.lines)
        with self.hold_sync():
            self._publish(asked, every, self._whole_picture(), loop_reading(self.record), seq)
            self._tell()

    def _whole_picture(self) -> Picture:
        return loop_picture(self.record, LAST_LINE)

    @property
    def program(self) -> str:
        """A plain PyTorch program with the lines as they run, at least as many passes as have begun."""
        return loop_program(self.asked, -(-self._loop.lines_done // len(self.asked.order)))

    # ---- the run -------------------------------------------------------------------------------------------------

    def run(self, steps: int | None = None) -> LoopRecord:
        """Run `steps` more lines in this thread, all there can be by default, and return the record.

        What cells and tests use. A loop that is over stays as it is: Reset begins it again.
        """
        with self._lock:
            self._run_on(LAST_LINE if steps is None else whole_number("lines", steps, 0, LAST_LINE))
            self._settle()
            self._rest()
            self._tell()
            record: LoopRecord = self.record
            return record

    def still(self) -> Still:
        """The present picture as a static figure with alt text; its step axes end where the loop is."""
        return still(loop_picture(self.record, FIRST_LINES), title=self.title)

    def _one_step(self) -> None:
        if self._loop.lines_done < LAST_LINE:
            self._loop.step()
            self._wanted = self._loop.lines_done + bool(self._loop.error)
        self._settle()

    def _settle(self) -> None:
        """Whether the loop can go on."""
        if self._loop.error:
            self._state = "stopped"
        elif self._loop.lines_done >= LAST_LINE:
            self._state = "finished"
        elif self._state in OVER:
            self._state = "paused"  # the setting that ended it is gone

    # ---- what the learner sees -----------------------------------------------------------------------------------

    def _show_progress(self) -> None:
        if self._loop.lines_done < self._sent:  # the row before the first line is one of those sent
            return
        self.record = self._loop.record()
        picture = self._whole_picture()
        self.append_rows(picture.table[self._sent :], picture.steps[self._sent :], self._sent)
        self._sent = len(picture.steps)
        with self.hold_sync():
            self.reading, self.summary = loop_reading(self.record), picture.summary
            self._tell()

    def _rest(self) -> None:
        self.record = self._loop.record()
        self._sent = len(self.record.lines)
        with self.hold_sync():
            self.reading = loop_reading(self.record)
            self.show(self._whole_picture(), follow=True)
            self._measure_questions()

    def _greet(self) -> None:
        self._rest()
        self._tell()

    @property
    def _progress(self) -> str:
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
