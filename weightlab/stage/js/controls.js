// Sliders, choices and toggles: native elements, so that keyboard and screen readers work.

import { make, newId } from "./elements.js";
import { nearestPosition, shortNumber } from "./pure/scales.js";

const plain = (text) => text.replaceAll("−", "-"); // as Number reads it

function buildSlider(spec, onSet, onNear) {
  const id = newId();
  const range = make("input", { type: "range", id, min: 0, max: spec.positions.length - 1, step: 1, "data-name": spec.name, "aria-description": spec.help });
  const exact = make("input", {
    type: "text", class: "wl-exact", inputmode: "decimal", spellcheck: "false",
    "aria-label": `${spec.label}, exact value`, "data-exact": spec.name,
  });
  let shown = null;
  const show = (value) => {
    shown = value;
    if (document.activeElement !== exact) exact.value = shortNumber(value);
    range.setAttribute("aria-valuetext", shortNumber(value));
  };
  range.addEventListener("input", () => {
    const value = spec.positions[Number(range.value)];
    show(value);
    onSet(spec.name, value);
  });
  const commit = () => {
    const text = plain(exact.value.trim()).replace(",", ".");
    if (text === "" || text === plain(shortNumber(shown))) { exact.value = shortNumber(shown); return; }
    const value = Number(text);
    onSet(spec.name, Number.isFinite(value) ? value : text);
  };
  exact.addEventListener("change", commit);
  exact.addEventListener("keydown", (event) => {
    if (event.key === "Enter") commit();
    if (event.key === "Escape") exact.value = shortNumber(shown);
  });
  for (const nearing of ["pointerenter", "pointerdown", "focus"]) range.addEventListener(nearing, () => onNear(spec.name, false));
  range.addEventListener("change", () => onNear(spec.name, true));
  const row = make("div", { class: "wl-control", title: spec.help || null },
    make("label", { for: id, text: spec.label }), range, exact);
  return { row, update: (value) => { range.value = nearestPosition(spec.positions, value); show(value); } };
}

function buildChoice(spec, onSet) {
  const id = newId();
  const select = make("select", { id, "data-name": spec.name, "aria-description": spec.help },
    ...spec.options.map(([value, label]) => make("option", { value, text: label })));
  select.addEventListener("change", () => onSet(spec.name, select.value));
  const row = make("div", { class: "wl-control wl-choice", title: spec.help || null }, make("label", { for: id, text: spec.label }), select);
  return { row, update: (value) => { select.value = value; } };
}

function buildToggle(spec, onSet) {
  const id = newId();
  const box = make("input", { type: "checkbox", id, "data-name": spec.name, "aria-description": spec.help });
  box.addEventListener("change", () => onSet(spec.name, box.checked));
  const row = make("div", { class: "wl-control wl-toggle", title: spec.help || null }, box, make("label", { for: id, text: spec.label }));
  return { row, update: (value) => { box.checked = Boolean(value); } };
}

export const BUILDERS = { slider: buildSlider, choice: buildChoice, toggle: buildToggle };

// onSet(name, value): moved by hand. onNear(name, released): a hand is over a slider, or has let go of it.
export function buildControls(specs, onSet, onNear) {
  const items = new Map();
  const groups = [];
  for (const spec of specs) {
    const item = BUILDERS[spec.kind](spec, onSet, onNear);
    items.set(spec.name, item);
    let group = groups.find((g) => g.name === (spec.group || ""));
    if (!group) {
      group = { name: spec.group || "", node: make(spec.group ? "fieldset" : "div", { class: "wl-group" }) };
      if (spec.group) group.node.append(make("legend", { text: spec.group }));
      groups.push(group);
    }
    group.node.append(item.row);
  }
  return {
    node: make("div", { class: "wl-controls" }, ...groups.map((g) => g.node)),
    // Settings that play no part in what is now chosen are not shown.
    markUnused: (names) => {
      for (const [name, item] of items) item.row.hidden = names.includes(name);
    },
    update: (values) => { for (const [name, item] of items) if (name in values) item.update(values[name]); },
  };
}
