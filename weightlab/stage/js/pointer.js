// What the mouse does on the picture: drag a point, read a value.

import { make } from "./elements.js";
import { shortNumber } from "./pure/scales.js";
import { drawMarker } from "./series.js";

function plotAt(stage, event) {
  const box = stage.board.getBoundingClientRect();
  const x = event.clientX - box.left;
  const y = event.clientY - box.top;
  const plot = (stage.plots || []).find((p) => x >= p.area.x && x <= p.area.x + p.area.w && y >= p.area.y && y <= p.area.y + p.area.h);
  return { plot, x, y };
}

export function grabPad(stage, event) {
  const { plot } = plotAt(stage, event);
  if (!plot || !plot.view.pad) return;
  const [across, up] = plot.view.pad;
  const { area } = plot;
  const move = (e) => {
    const box = stage.board.getBoundingClientRect();
    const x = Math.min(Math.max(e.clientX - box.left, area.x), area.x + area.w);
    const y = Math.min(Math.max(e.clientY - box.top, area.y), area.y + area.h);
    // four digits: finer than a pixel, and short in a text
    stage.set(across, Number(plot.x.value(x).toPrecision(4)));
    stage.set(up, Number(plot.y.value(y).toPrecision(4)));
    stage.dirty.moving = true;
    e.preventDefault();
  };
  stage.moving.setPointerCapture(event.pointerId);
  stage.moving.addEventListener("pointermove", move);
  stage.moving.addEventListener("pointerup", () => stage.moving.removeEventListener("pointermove", move), { once: true });
  stage.moving.addEventListener("pointercancel", () => stage.moving.removeEventListener("pointermove", move), { once: true });
  move(event);
}

export function drawPad(stage, ctx, plot) {
  const values = stage.values();
  const x = plot.x.at(values[plot.view.pad[0]]);
  const y = plot.y.at(values[plot.view.pad[1]]);
  if (!Number.isFinite(x + y)) return;
  drawMarker(ctx, "circle", x, y, 8, stage.theme.palette[1], stage.theme.paper);
  drawMarker(ctx, "circle", x, y, 2.5, stage.theme.paper, stage.theme.paper);
}

export function showValues(stage, event) {
  const { plot, x, y } = plotAt(stage, event);
  const curves = plot ? plot.series.filter((s) => s.kind === "curve") : [];
  stage.tip.hidden = true;
  if (!plot || !stage.table.rows) return;
  const lines = [];
  if (curves.length) {
    const row = stage.table.rowOf(plot.x.value(x));
    lines.push(`step ${Math.round(stage.table.steps[row])}`);
    curves.slice(0, 6).forEach((s) => lines.push(`${s.name}: ${shortNumber(stage.table.get(row, s.columns[0]))}`));
  } else if (plot.bars) {
    const i = Math.round(plot.x.value(x));
    const bars = plot.series.filter((s) => s.kind === "bars" && i >= 0 && i < s.columns.length);
    bars.forEach((s) => lines.push(`${plot.view.x.ticks[i] ?? i}: ${shortNumber(stage.table.at(stage.place, s.columns[i]))}`));
    plot.references.filter((r) => r.kind === "marks" || r.xs.length > i).forEach((r) => {
      const at = r.xs.findIndex((v) => Math.round(v) === i);
      if (at >= 0) lines.push(`${r.name}: ${shortNumber(r.ys[at])}`);
    });
  } else lines.push(`(${shortNumber(plot.x.value(x))}, ${shortNumber(plot.y.value(y))})`);
  if (!lines.length) return;
  stage.tip.replaceChildren(...lines.map((text) => make("div", { text })));
  stage.tip.hidden = false;
  stage.tip.style.left = `${Math.min(x + 14, stage.board.clientWidth - stage.tip.offsetWidth - 4)}px`;
  stage.tip.style.top = `${Math.max(y - 14 - stage.tip.offsetHeight, 4)}px`;
}
