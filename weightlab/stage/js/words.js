// The picture in words: under it, as its label, and read out by a screen reader when it changes.

const SPOKEN_EVERY_MS = 1000;

function inWords(stage) { return stage.fanShown ? stage.fanShown.picture.summary || "" : stage.model.get("summary"); }

function describe(stage) {
  const text = inWords(stage);
  const titles = stage.scene.views.map((view) => view.title).join("; ");
  const label = `${titles}. ${text || stage.model.get("title")}`;
  if (stage.moving.getAttribute("aria-label") === label) return;
  stage.summary.textContent = text;
  stage.moving.setAttribute("aria-label", label);
}

function wordsOf(stage) {
  return `${stage.model.get("transport").live ? `${stateWords(stage)}. ` : ""}${inWords(stage)}`;
}

// At most once a second; what stands after the last change is always said.
function speak(stage, now) {
  if (now - (stage.spokenAt || 0) < SPOKEN_EVERY_MS) return;
  const words = wordsOf(stage);
  if (words === stage.spoken.textContent) return;
  stage.spoken.textContent = words;
  stage.spokenAt = now;
}
