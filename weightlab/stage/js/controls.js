// Sliders, choices, toggles and the legend: native elements, so that keyboard and screen readers work.

// Each panel has a copy of this module, and all are in one page: a bare count would name two controls alike.
const OWN = Math.random().toString(36).slice(2, 10);
let lastId = 0;
const newId = () => `wl-${OWN}-${lastId++}`;

// JupyterLab takes keys for its own commands unless the very element that has the focus bears an attribute.
const FOCUSED = new Set(["button", "input", "select", "summary", "pre"]);
const FOCUSABLE = ":is(button, input, select, summary):not(:disabled)";

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (FOCUSED.has(tag)) node.setAttribute("data-lm-suppress-shortcuts", "true");
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((c) => c !== null && c !== undefined));
  return node;
}

// `change` may take away the element that has the focus. Its like in `box` gets it then, or `next`: not the page around,
// whose keys mean something else.
function keepFocus(box, change, next) {
  const had = box.contains(document.activeElement) ? document.activeElement : null;
  change();
  if (!had || (had.isConnected && !had.disabled)) return;
  const name = ({ dataset }) => dataset.exact || dataset.name || (dataset.action === "pause" ? "start" : dataset.action);
  const like = [...box.querySelectorAll(FOCUSABLE)].find((node) => node.tagName === had.tagName && node.type === had.type && name(node) === name(had));
  const taker = like && name(like) ? like : next();
  if (taker) taker.focus();
}

function nearestPosition(positions, value) {
  let best = 0;
  positions.forEach((p, i) => { if (Math.abs(p - value) < Math.abs(positions[best] - value)) best = i; });
  return best;
}

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
    const text = exact.value.trim().replace("−", "-").replace(",", ".");
    if (text === "" || text === shortNumber(shown).replace("−", "-")) { exact.value = shortNumber(shown); return; }
    const value = Number(text);
    onSet(spec.name, text !== "" && !Number.isNaN(value) && Number.isFinite(value) ? value : text);
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

const BUILDERS = { slider: buildSlider, choice: buildChoice, toggle: buildToggle };

// onSet(name, value): moved by hand. onNear(name, released): a hand is over a slider, or has let go of it.
function buildControls(specs, onSet, onNear) {
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
      for (const [name, item] of items) {
        item.row.hidden = names.includes(name);
      }
    },
    update: (values) => { for (const [name, item] of items) if (name in values) item.update(values[name]); },
  };
}

function legendSwatch(item, theme, groups) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  svg.setAttribute("width", "30");
  svg.setAttribute("height", "14");
  svg.setAttribute("aria-hidden", "true");
  const add = (tag, attributes) => {
    const node = document.createElementNS(ns, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    svg.append(node);
  };
  const colour = item.colour;
  if (item.layer !== undefined) {
    add("rect", { x: 5, y: 2, width: 20, height: 10, fill: layerColour(item.layer, groups, theme.dark) });
    return svg;
  }
  if (item.cross) {
    const shape = item.cross === "line" ? "M1 7H29" : item.cross === "marks" ? "M6 7H24" : "M15 2V12M10 7H20";
    add("path", { d: shape, stroke: theme.ink, "stroke-width": 1.8, "stroke-dasharray": item.cross === "line" ? "5 4" : "" });
    return svg;
  }
  const stroke = theme.palette[colour % theme.palette.length];
  add("path", { d: "M1 7H29", stroke, "stroke-width": 2.2, "stroke-dasharray": item.dash.join(" ") });
  if (item.arrow) add("path", { d: "M22 2L30 7L22 12Z", fill: stroke });
  else if (!item.bare) {
    const shapes = ["M10 7a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", "M10.5 2.5h9v9h-9Z", "M15 1L21 12H9Z", "M15 1L21 7L15 13L9 7Z"];
    add("path", { d: shapes[colour % 4], fill: stroke });
  }
  return svg;
}

function buildLegend(picture, theme) {
  const items = [];
  const known = new Set();
  const add = (name, item) => { if (name && !known.has(name)) { known.add(name); items.push([name, item]); } };
  let layered = false;
  for (const series of picture.series) {
    if (series.kind === "family" || (series.kind === "bars" && picture.groups.length)) layered = true;
    else {
      const several = picture.series.filter((s) => s.view === series.view && s.kind === "curve").length > 1;
      const dash = series.dashed ? [6, 4] : several ? DASHES[series.colour % DASHES.length] : [];
      add(series.name, { colour: series.colour, dash, arrow: series.kind === "arrow" });
    }
  }
  for (const reference of picture.references) {
    const { kind, colour } = reference;
    add(reference.name, kind === "dots" ? { colour, dash: [0, 40] } : kind === "trace" ? { colour, dash: [5, 4], bare: true } : { cross: kind });
  }
  if (layered && picture.groups.length) {
    const last = picture.groups.length - 1;
    const picks = last > 2 ? [0, Math.floor(last / 2), last] : picture.groups.map((_, i) => i);
    picks.forEach((i) => add(picture.groups[i], { layer: i }));
  }
  return items.map(([name, item]) => make("span", { class: "wl-legend-item" }, legendSwatch(item, theme, picture.groups.length), make("span", { text: name })));
}
