// The picture and its run in words: under it, as its label, and read out by a screen reader when it changes.

const SPOKEN_EVERY_MS = 1000;

function inWords(stage) { return stage.fanShown ? stage.fanShown.picture.summary || "" : stage.model.get("summary"); }

export function describe(stage) {
  const text = inWords(stage);
  const titles = stage.scene.views.map((view) => view.title).join("; ");
  const label = `${titles}. ${text || stage.model.get("title")}`;
  if (stage.moving.getAttribute("aria-label") === label) return;
  stage.summary.textContent = text;
  stage.moving.setAttribute("aria-label", label);
}

// What the run is doing, as far as the page can know.
export function stateWords(stage) {
  const { state, text } = stage.model.get("transport");
  return stage.cutOff ? "disconnected" : text || state;
}

export function wordsOf(stage) {
  return `${stage.model.get("transport").live ? `${stateWords(stage)}. ` : ""}${inWords(stage)}`;
}

// At most once a second; what stands after the last change is always said.
export function speak(stage, now) {
  if (now - (stage.spokenAt || 0) < SPOKEN_EVERY_MS) return;
  const words = wordsOf(stage);
  if (words === stage.spoken.textContent) return;
  stage.spoken.textContent = words;
  stage.spokenAt = now;
}
