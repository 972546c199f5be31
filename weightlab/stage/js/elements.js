// Elements of the page: made, named, and their focus kept.

// Each panel has a copy of these modules, and all are in one page: a bare count would name two controls alike.
const OWN = Math.random().toString(36).slice(2, 10);
let lastId = 0;
export const newId = () => `wl-${OWN}-${lastId++}`;

// JupyterLab takes keys for its own commands unless the very element that has the focus bears an attribute.
const FOCUSED = new Set(["button", "input", "select", "summary", "pre"]);
export const FOCUSABLE = ":is(button, input, select, summary):not(:disabled)";

export function make(tag, attributes = {}, ...children) {
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
export function keepFocus(box, change, next) {
  const had = box.contains(document.activeElement) ? document.activeElement : null;
  change();
  if (!had || (had.isConnected && !had.disabled)) return;
  const name = ({ dataset }) => dataset.exact || dataset.name || (dataset.action === "pause" ? "start" : dataset.action);
  const like = [...box.querySelectorAll(FOCUSABLE)].find((node) => node.tagName === had.tagName && node.type === had.type && name(node) === name(had));
  const taker = like && name(like) ? like : next();
  if (taker) taker.focus();
}
