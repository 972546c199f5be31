// Where a panel's own page begins: no kernel answers, but what the page holds.

import { BUILDERS } from "./controls.js";
import { make } from "./elements.js";
import { readReplay } from "./pure/packed.js";
import { nearestPosition, shortNumber } from "./pure/scales.js";
import { fanPicture } from "./pure/table.js";
import { StageView } from "./stage.js";

// What the stage needs of a widget's model, and the answers that a kernel would give as far as the page holds them.
class ReplayModel {
  constructor({ traits, fans }) {
    this.saved = traits;
    this.traits = { ...traits };
    this.fans = fans;
    this.listeners = [];
  }

  get(name) { return this.traits[name]; }

  on(name, action, owner) { this.listeners.push({ name, action, owner }); }

  off(name, action, owner) { this.listeners = this.listeners.filter((one) => one.owner !== owner); }

  tell(name, ...given) { for (const one of this.listeners) if (one.name === name) one.action(...given); }

  put(traits) {
    const changed = Object.keys(traits).filter((name) => traits[name] !== this.traits[name]);
    Object.assign(this.traits, traits);
    changed.forEach((name) => this.tell(`change:${name}`));
  }

  send(message) { setTimeout(() => this.answer(message)); } // later, as a kernel does: the stage counts on it

  answer(message) {
    if (message.type === "fan") { this.answerFan(message); return; }
    if (message.type === "set") this.answerSet(message);
    else if (message.type !== "hello") this.refuse("This needs the lab: no kernel runs behind this page.");
    this.tell("msg:custom", { type: "ack", seq: message.seq }, []);
  }

  refuse(text) { this.put({ notice: { kind: "error", text } }); }

  // A fan belongs to how the other settings were saved. While another slider is away from there, no answer: the stage
  // asks again when it is back.
  answerFan({ name }) {
    const fan = this.fans[name];
    const others = Object.keys(this.saved.values).filter((other) => other !== name);
    if (!fan || others.some((other) => this.saved.values[other] !== this.traits.values[other])) return;
    this.tell("msg:custom", fan.message, fan.buffers);
    this.tell("msg:custom", fan.words, []);
  }

  answerSet({ values, seq }) {
    const name = Object.keys(values).pop(); // the one that the hand has now
    const fan = this.fans[name];
    if (!fan) { this.refuse("This setting needs the lab: no kernel runs behind this page."); return; }
    const back = Object.keys(this.fans).filter((other) => other !== name
      && (other in values || this.traits.values[other] !== this.saved.values[other]));
    const picture = this.pictureAt(fan, values[name]) || (values[name] === this.saved.values[name] ? this.saved : null);
    if (!picture) { this.refuse(this.notHeld(name, values[name])); return; }
    const said = back.map((other) => `${this.label(other)} is back at ${shortNumber(this.saved.values[other])}`).join(", ");
    const notice = back.length ? { kind: "info", text: `${said}: this page holds the pictures of one slider at a time.` } : {};
    this.put({
      scene: picture.scene, values: { ...this.saved.values, ...picture.along, [name]: values[name] },
      reading: picture.reading, summary: picture.summary, notice,
      picture: { ...picture.picture, seq },
    });
  }

  label(name) { return this.saved.controls.find((control) => control.name === name).label; }

  notHeld(name, value) {
    const { positions } = this.fans[name].message;
    const near = positions[nearestPosition(positions, Number(value) || 0)];
    const given = typeof value === "number" ? shortNumber(value) : value;
    return `This page holds ${positions.length} positions of ${this.label(name)}, from ${shortNumber(positions[0])} to `
      + `${shortNumber(positions[positions.length - 1])}, and not ${given}; the nearest is ${shortNumber(near)}. The lab takes any.`;
  }

  // What a kernel would publish for this position, if the page has it.
  pictureAt({ message, words, buffers }, value) {
    const i = message.positions.indexOf(value);
    if (i < 0) return null;
    const { picture, views, bowl, along, reading = words.readings[i], summary = words.summaries[i] } = fanPicture(message, buffers, i);
    const changed = (view) => (views ? views.find((one) => one.name === view.name) : view.bowl && bowl ? { bowl } : {});
    const scene = views || bowl ? this.sceneWith(changed) : this.saved.scene;
    return { scene, along, reading, summary, picture: { ...this.saved.picture, ...picture, run: this.saved.picture.run } };
  }

  sceneWith(change) {
    const { scene } = this.saved;
    return { ...scene, views: scene.views.map((view) => ({ ...view, ...change(view) })) };
  }
}

// A setting that stays: its name and value as text.
BUILDERS.fixed = (spec) => {
  const value = make("span", { class: "wl-fixed-value", "data-name": spec.name });
  const row = make("div", { class: "wl-control wl-fixed", title: spec.help || null }, make("span", { text: spec.label }), value);
  const said = (given) => {
    if (given === null || given === undefined) return "none";
    if (typeof given === "boolean") return given ? "on" : "off";
    if (typeof given === "number") return shortNumber(given);
    return new Map(spec.options || []).get(given) || String(given);
  };
  return { row, update: (given) => { value.textContent = said(given); } };
};

function wearTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const wear = () => { document.body.dataset.jpThemeLight = String(!dark.matches); };
  dark.addEventListener("change", wear);
  wear();
}

// Keys pressed while nothing has the focus are the animation's: there is nothing else on the page.
function takeKeysFromThePage(root) {
  document.addEventListener("keydown", (event) => {
    if (event.target !== document.body || event.ctrlKey || event.metaKey || event.altKey) return;
    const passed = new KeyboardEvent("keydown", { key: event.key, cancelable: true });
    root.dispatchEvent(passed);
    if (passed.defaultPrevented) event.preventDefault();
  });
}

function tellHeight() {
  if (window.parent === window) return;
  const tell = () => window.parent.postMessage({ weightlabHeight: Math.ceil(document.body.getBoundingClientRect().height) }, "*");
  new ResizeObserver(tell).observe(document.body);
}

async function startReplay() {
  const still = document.getElementById("wl-still-page");
  wearTheme();
  try {
    const replay = await readReplay(document.getElementById("wl-replay-data").textContent);
    const root = make("div", { class: "weightlab" });
    still.before(root);
    const stage = new StageView(new ReplayModel(replay), root);
    stage.questionsBox.firstChild?.replaceWith(make("h2", { text: "Predicted before the run" })); // none is open here
    root.querySelector(".wl-below").before(make("p", { class: "wl-note", text: replay.note }));
    stage.board.addEventListener("pointerdown", (event) => event.stopPropagation(), { capture: true }); // its pads need the lab
    takeKeysFromThePage(root);
    still.remove();
  } catch (error) {
    console.error(error);
    still.prepend(make("p", { class: "wl-problem-page", role: "alert",
      text: "The animation does not run in this browser; this is its picture. It needs Chrome or Edge 111, Firefox 113, Safari 16.4, or newer." }));
  }
  tellHeight(); // not before: what stands around a frame should move once
}

startReplay();
