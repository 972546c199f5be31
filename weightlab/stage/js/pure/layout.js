// Where the views stand on the stage, what their axes span, and where the ticks are.

import { linearTicks, logTicks, makeScale } from "./scales.js";

const NARROW = 250; // px of a view: side by side above, one below the other under it
const STACKED_HEIGHT = 220;
const STACKED_MAP_HEIGHT = 300;
const MARGIN = { left: 64, right: 18, top: 26, bottom: 40 };

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

// The heights of views that stand one below the other, as on a narrow or magnified page; else null.
export function stackedHeights({ widths, views }, width) {
  const unit = width / sum(widths);
  const narrowest = Math.min(...views.map(({ cell }) => unit * sum(widths.slice(cell[0], cell[0] + cell[2]))));
  if (!(unit > 0) || widths.length < 2 || narrowest >= NARROW) return null;
  return views.map((view) => (view.cell[3] > 1 || view.pad ? STACKED_MAP_HEIGHT : STACKED_HEIGHT));
}

// The part of a board of this size that view number `number` has; `stacked` as stackedHeights gives it.
export function cellBox(scene, stacked, number, width, height) {
  if (stacked) return { x: 0, y: sum(stacked.slice(0, number)), w: width, h: stacked[number] };
  const { cell } = scene.views[number];
  const place = (sizes, from, count, whole) => {
    const total = sum(sizes);
    return [(sum(sizes.slice(0, from)) / total) * whole, (sum(sizes.slice(from, from + count)) / total) * whole];
  };
  const [x, w] = place(scene.widths, cell[0], cell[2], width);
  const [y, h] = place(scene.heights, cell[1], cell[3], height);
  return { x, y, w, h };
}

// Whole decades. A run that spans too many keeps its start in sight: what explodes leaves at the top, what is
// negligible at the bottom.
function logLimits(lo, hi, starts) {
  const low = Math.floor(Math.log10(Math.max(lo, 1e-37)) + 1e-6);
  const high = Math.max(Math.ceil(Math.log10(hi) - 1e-6), low + 1);
  if (high - low <= 18 || !starts.length) return [Math.pow(10, Math.max(low, high - 18)), Math.pow(10, high)];
  const first = Math.round(Math.log10(Math.max(...starts)));
  return [Math.pow(10, Math.max(low, first - 14)), Math.pow(10, Math.min(high, first + 6))];
}

function axisLimits(axis, columns, table, fixedSpan, extra) {
  if (axis.limits) return axis.limits;
  if (fixedSpan) return fixedSpan;
  const log = axis.scale === "log";
  let lo = Infinity;
  let hi = -Infinity;
  const take = (v) => {
    if (!Number.isFinite(v) || (log && v <= 0)) return;
    if (v < lo) lo = v;
    if (v > hi) hi = v;
  };
  const stride = table.stride(2000);
  for (let row = 0; row < table.rows; row += stride) for (const c of columns) take(table.get(row, c));
  if (table.rows) for (const c of columns) take(table.get(table.rows - 1, c));
  extra.forEach(take);
  if (lo === Infinity) return log ? [0.1, 10] : [0, 1];
  if (log) return logLimits(lo, hi, columns.map((c) => table.get(0, c)).filter((v) => Number.isFinite(v) && v > 0));
  const pad = (hi - lo || Math.abs(hi) || 1) * 0.08;
  const step = linearTicks(lo - pad, hi + pad, 4);
  const unit = step.length > 1 ? step[1].value - step[0].value : pad;
  return [Math.floor((lo - pad / 2) / unit) * unit, Math.ceil((hi + pad / 2) / unit) * unit];
}

// A run that is going on gets room to grow into; its axis does not wait for the last of all steps.
function lastStep(picture, table) {
  const seen = table.rows ? table.steps[table.rows - 1] : 1;
  if (picture.last_step === null || picture.last_step === undefined) return seen;
  const steps = linearTicks(0, Math.max(seen, 40) * 1.2, 4);
  return Math.min(picture.last_step, steps[1].value * Math.ceil((Math.max(seen, 40) * 1.02) / steps[1].value));
}

export function layoutView(view, box, picture, table) {
  const series = picture.series.filter((s) => s.view === view.name);
  const references = picture.references.filter((r) => r.view === view.name);
  const placed = (s) => s.kind === "path" || s.kind === "arrow"; // by columns for across and up
  const yColumns = series.flatMap((s) => (placed(s) ? [s.columns[1]] : s.columns));
  const xColumns = series.flatMap((s) => (placed(s) ? [s.columns[0]] : []));
  const overSteps = series.some((s) => s.kind === "curve" || s.kind === "family");
  const bars = series.filter((s) => s.kind === "bars");
  let span = null;
  if (bars.length) span = [-0.6, Math.max(...bars.map((s) => s.columns.length)) - 0.4];
  else if (overSteps) span = [0, Math.max(1, lastStep(picture, table))];
  const xLimits = axisLimits(view.x, xColumns, table, span, references.flatMap((r) => r.xs));
  const foot = bars.length ? [0] : []; // a bar's length says something only if it stands on zero
  const yLimits = axisLimits(view.y, yColumns, table, null, [...references.flatMap((r) => r.ys), ...foot]);
  const area = {
    x: box.x + MARGIN.left, y: box.y + MARGIN.top,
    w: box.w - MARGIN.left - MARGIN.right, h: box.h - MARGIN.top - MARGIN.bottom,
  };
  return {
    view, series, references, area, bars: bars.length > 0,
    x: makeScale(view.x.scale === "log", xLimits, area.x, area.x + area.w),
    y: makeScale(view.y.scale === "log", yLimits, area.y + area.h, area.y),
  };
}

// What stands at the axes. Names of bars are thinned out until each has `room` px: names that touch read as one word.
export function axisTicks({ area, view, x, y }) {
  const wanted = Math.max(3, Math.floor(area.w / 75));
  const yTicks = (y.log ? logTicks : linearTicks)(...y.limits, Math.max(2, Math.floor(area.h / 36)));
  if (!view.x.ticks.length) return { xTicks: (x.log ? logTicks : linearTicks)(...x.limits, wanted), yTicks };
  const stride = Math.ceil(view.x.ticks.length / Math.max(1, Math.floor(area.w / 42)));
  const xTicks = view.x.ticks.map((text, value) => ({ value, text })).filter((t) => t.value % stride === 0);
  return { xTicks, yTicks, room: stride * Math.abs(x.at(1) - x.at(0)) - 8 };
}
