// The legend: what each line, marker and colour is.

import { make } from "./elements.js";
import { colourOf, dashOf, layerColour } from "./pure/colours.js";

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
  const stroke = colourOf(theme, colour);
  add("path", { d: "M1 7H29", stroke, "stroke-width": 2.2, "stroke-dasharray": item.dash.join(" ") });
  if (item.arrow) add("path", { d: "M22 2L30 7L22 12Z", fill: stroke });
  else if (!item.bare) {
    const shapes = ["M10 7a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", "M10.5 2.5h9v9h-9Z", "M15 1L21 12H9Z", "M15 1L21 7L15 13L9 7Z"];
    add("path", { d: shapes[colour % shapes.length], fill: stroke });
  }
  return svg;
}

export function buildLegend(picture, theme) {
  const items = [];
  const known = new Set();
  const add = (name, item) => { if (name && !known.has(name)) { known.add(name); items.push([name, item]); } };
  let layered = false;
  for (const series of picture.series) {
    if (series.kind === "family" || (series.kind === "bars" && picture.groups.length)) layered = true;
    else {
      const several = picture.series.filter((s) => s.view === series.view && s.kind === "curve").length > 1;
      add(series.name, { colour: series.colour, dash: dashOf(series, several), arrow: series.kind === "arrow" });
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
