// Playback buttons, training buttons and the keyboard.

import { FOCUSABLE, keepFocus, make } from "./elements.js";
import { stateWords } from "./words.js";

const SPEEDS = [0.25, 0.5, 1, 2, 4];

function button(label, name, action, { title, disabled = false }) {
  return make("button", {
    type: "button", text: label, "data-action": name, title, disabled, onclick: action,
    "aria-label": label.replace(/[^A-Za-z ]/g, "").trim() || title, // its word, as it is seen, without the sign
  });
}

export function showTransport(stage) {
  const state = stage.model.get("transport");
  const { text: _, ...buttons } = state;
  const key = JSON.stringify(buttons);
  const said = stage.transport.querySelector(".wl-state");
  if (said) said.textContent = stateWords(stage);
  if (key === stage.transportText) return; // the same buttons stay: a click on one must not be lost
  stage.transportText = key;
  const nodes = [...(state.live ? runButtons(stage, state) : []), buildPlayback(stage, state)];
  keepFocus(stage.transport, () => stage.transport.replaceChildren(...nodes), () => stage.transport.querySelector(FOCUSABLE));
  stage.dirty.moving = true;
}

function runButtons(stage, state) {
  const running = state.state === "running";
  const begun = running || state.state === "paused";
  const over = ["finished", "diverged", "stopped"].includes(state.state);
  const command = (label, name, title, disabled) => button(label, name, () => stage.command(name), { title, disabled });
  return [
    running ? command("❚❚ Pause", "pause", "Pause training") : command(begun ? "▶ Continue" : "▶ Start", "start", "Start training", over),
    command("Step", "step", state.step_title || "One update", running || over),
    command("■ Stop", "stop", "Stop training", !begun),
    command("↺ Reset", "reset", "Same weights again, from the start"),
    ...(state.seeds === false ? [] : [command("New seed", "new_seed", "Other initial weights, from the start")]),
    make("span", { class: "wl-state", text: stateWords(stage) }),
  ];
}

function buildPlayback(stage, state) {
  stage.playButton = button("▶", "play", () => stage.togglePlay(), { title: "Play or pause the animation" });
  stage.scrub = make("input", { type: "range", min: 0, max: 1, step: "any", class: "wl-scrub", "data-action": "scrub", "aria-label": "step shown" });
  stage.scrub.addEventListener("input", () => { stage.playing = false; stage.jump(Number(stage.scrub.value)); });
  stage.stepText = make("span", { class: "wl-step" });
  const speed = make("select", { "aria-label": "playback speed", "data-action": "speed" },
    ...SPEEDS.map((s) => make("option", { value: s, text: `${s}×` })));
  speed.value = String(stage.speed);
  speed.addEventListener("change", () => { stage.speed = Number(speed.value); });
  stage.replay = make("span", { class: "wl-replay" }, stage.playButton,
    button("❙◀", "back", () => stage.nudge(-1), { title: "One step back" }),
    button("▶❙", "forward", () => stage.nudge(1), { title: "One step forward" }), stage.scrub, stage.stepText, speed,
    state.branch ? button("Branch here", "branch", () => stage.branch(), { title: "From the step shown on, go on with other settings" }) : null,
    state.branch && state.branches ? button("One line again", "join", () => stage.send({ type: "join" }), { title: "Forget the earlier lines" }) : null);
  return stage.replay;
}

// Where the playback stands.
export function showPlace(stage) {
  if (!stage.scrub) return;
  stage.replay.hidden = stage.table.rows < 2 && !stage.model.get("transport").live;
  stage.scrub.max = Math.max(1, stage.table.rows - 1);
  if (document.activeElement !== stage.scrub || stage.playing || stage.following) stage.scrub.value = stage.place;
  const step = Math.round(stage.table.step(stage.place));
  stage.stepText.textContent = `step ${step}`;
  stage.scrub.setAttribute("aria-valuetext", `step ${step}`);
  stage.playButton.textContent = stage.playing ? "❚❚" : "▶";
}

// Escape: from a control to the panel, from the panel to the notebook's cell around it.
function leave(stage, from) {
  const cell = stage.root.closest(".jp-Cell");
  if (from !== stage.root) stage.root.focus();
  else if (cell) cell.focus();
  else stage.root.blur();
}

export function handleKey(stage, event) {
  event.stopPropagation(); // the notebook would take the focus to its active cell
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") leave(stage, event.target);
  if (event.target !== stage.root) return;
  const actions = {
    " ": () => stage.togglePlay(), ArrowLeft: () => stage.nudge(-1), ArrowRight: () => stage.nudge(1),
    Home: () => { stage.playing = false; stage.jump(0); }, End: () => { stage.playing = false; stage.jump(Infinity); },
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}
