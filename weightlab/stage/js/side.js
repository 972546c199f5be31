// Beside the picture: a notice, the questions, and the reading once they are answered.

import { keepFocus, make, newId } from "./elements.js";

function buildQuestion(question, onPredict) {
  const asked = newId();
  const box = make("div", { class: "wl-question" }, make("p", { class: "wl-question-text", id: asked, text: question.text }));
  if (question.prediction === null) {
    const id = newId();
    const input = question.options.length
      ? make("select", { id, "aria-labelledby": asked }, make("option", { value: "", text: "choose…" }),
        ...question.options.map((o) => make("option", { value: o, text: o })))
      : make("input", { id, type: "text", inputmode: "decimal", "aria-labelledby": asked, placeholder: "a number" });
    const send = () => { if (input.value !== "") onPredict(question.id, input.value); };
    input.addEventListener("keydown", (event) => { if (event.key === "Enter") send(); });
    box.append(make("div", { class: "wl-row" }, input, make("button", { type: "button", text: "Predict", onclick: send })));
    if (question.problem) box.append(make("p", { class: "wl-problem", role: "alert", text: question.problem }));
  } else {
    box.append(make("p", { class: "wl-answer", tabindex: -1 }, make("span", { text: `You said ${question.prediction}. ` }),
      make("strong", { text: question.measured ? `Measured: ${question.measured}. ` : "Not measured yet: run it. " }),
      make("span", { text: question.verdict || "" })));
  }
  return box;
}

function buildReading(rows) {
  if (!rows.length) return make("div");
  const cell = (tag, text) => make(tag, { text, scope: tag === "th" ? "row" : null });
  const head = (text) => make(text ? "th" : "td", { text, scope: text ? "col" : null }); // an empty cell heads nothing
  const theory = rows.some((row) => row.theory); // without any, no column for it
  return make("table", { class: "wl-reading" },
    rows.every((row) => row.verdict) ? null : make("thead", {}, make("tr", {}, ...(theory ? ["", "theory", "measured"] : ["", "measured"]).map(head))),
    make("tbody", {}, ...rows.map((row) => make("tr", { class: row.verdict ? "wl-verdict" : "" },
      ...(row.verdict
        ? [make("td", { colspan: 3 }, make("span", { text: row.verdict }))]
        : [cell("th", row.label), ...(theory ? [cell("td", row.theory)] : []), cell("td", row.measured)])))));
}

export function showTexts(stage) {
  const notice = stage.model.get("notice");
  stage.notice.hidden = !notice.text;
  stage.notice.textContent = notice.text || "";
  stage.notice.className = `wl-notice wl-${notice.kind || "info"}`;
  const questions = stage.model.get("questions");
  showQuestions(stage, questions);
  // What theory says would answer the questions: it waits for the predictions, or for the learner's word.
  const waiting = !stage.skipped && questions.some((q) => q.prediction === null);
  const skip = make("button", { type: "button", text: "Show it now", "data-action": "reveal", onclick: () => { stage.skipped = true; showTexts(stage); stage.send({ type: "reveal" }); } });
  const told = stage.fanShown && stage.fanShown.picture.told;
  const reading = told ? stage.fanShown.picture.reading : stage.model.get("reading");
  const shown = waiting && reading.length
    ? make("p", { class: "wl-waiting" }, make("span", { text: "Theory and measurement appear here after your predictions. " }), skip)
    : buildReading(reading);
  keepFocus(stage.readingBox, () => stage.readingBox.replaceChildren(shown), () => stage.readingBox);
  stage.root.classList.toggle("wl-no-side", !questions.length && !reading.length);
}

// A question that has not changed keeps its box, and with it what is being typed there.
function showQuestions(stage, questions) {
  if (!stage.questionsBox.firstChild) stage.questionsBox.append(make("h4", { text: "Predict first" }));
  stage.questionsBox.hidden = !questions.length;
  questions.forEach((question, i) => {
    const text = JSON.stringify(question);
    const old = stage.questionsBox.children[i + 1];
    if (old && old.question === text) return;
    const box = buildQuestion(question, (id, value) => stage.send({ type: "predict", id, value }));
    box.question = text;
    if (!old) stage.questionsBox.append(box);
    else keepFocus(old, () => old.replaceWith(box), () => box.querySelector(".wl-answer, input, select"));
  });
}
