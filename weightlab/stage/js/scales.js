// Colours, numbers and the mapping from data to pixels. Plain functions; joined with the other parts into one ES module.

const PALETTE = {
  light: ["#0072b2", "#d55e00", "#00795a", "#a8328a", "#8a6d00", "#3d3d3d", "#5a4fcf", "#b3261e"],
  dark: ["#62bdf0", "#ff9357", "#3fd6a5", "#ee94d2", "#ecc445", "#e2e2e2", "#aaa2ff", "#aa7a72"],
};
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 2], [1, 2]];
const MARKERS = ["circle", "square", "triangle", "diamond", "cross"];
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

function readTheme(element) {
  const style = getComputedStyle(element);
  const ink = style.getPropertyValue("--wl-ink").trim() || "#222";
  const flag = document.body.dataset.jpThemeLight;
  const dark = flag ? flag === "false" : matchMedia("(prefers-color-scheme: dark)").matches;
  return {
    dark,
    ink,
    faint: style.getPropertyValue("--wl-faint").trim() || "#777",
    grid: style.getPropertyValue("--wl-grid").trim() || "#ddd",
    paper: style.getPropertyValue("--wl-paper").trim() || "#fff",
    palette: dark ? PALETTE.dark : PALETTE.light,
    font: style.fontFamily,
  };
}

// First layer dark, last layer light; the end that would be too near to the page's own colour is cut off.
function layerColour(index, count, dark) {
  const share = count > 1 ? index / (count - 1) : 0;
  const place = (dark ? 0.36 + 0.64 * share : 0.58 * share) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const mix = VIRIDIS[low].map((c, i) => Math.round(c + (VIRIDIS[low + 1][i] - c) * (place - low)));
  return `rgb(${mix.join(",")})`;
}

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

function powerOfTen(exponent) {
  if (exponent >= -2 && exponent <= 3) return String(Number(Math.pow(10, exponent).toPrecision(3)));
  return "10" + String(exponent).split("").map((c) => SUPERSCRIPT[c]).join("");
}

function shortNumber(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace("e+", "e").replace("-", "−");
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

function linearTicks(low, high, wanted) {
  const raw = (high - low) / Math.max(1, wanted);
  const unit = Math.pow(10, Math.floor(Math.log10(raw)));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * unit).find((s) => s >= raw) || 10 * unit;
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
    const value = Number((k * step).toPrecision(10));
    ticks.push({ value, text: shortNumber(value) });
  }
  return ticks;
}

function logTicks(low, high, wanted) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  if (last - first < 1) return linearTicks(low, high, wanted).filter((t) => t.value > 0);
  const stride = Math.max(1, Math.ceil((last - first) / Math.max(1, wanted)));
  const ticks = [];
  for (let e = first; e <= last; e += stride) ticks.push({ value: Math.pow(10, e), text: powerOfTen(e) });
  return ticks;
}

// limits [lo, hi] of the data onto pixels [from, to]
function makeScale(log, limits, from, to) {
  const forward = log ? (v) => Math.log10(v) : (v) => v;
  const lo = forward(limits[0]);
  const hi = forward(limits[1]);
  const gain = (to - from) / (hi - lo || 1);
  return {
    log,
    limits,
    at: (v) => (log && v <= 0 ? NaN : from + (forward(v) - lo) * gain),
    value: (p) => { const raw = lo + (p - from) / gain; return log ? Math.pow(10, raw) : raw; },
    gain,
  };
}

// The run's table: one row a step. Grows as rows arrive; reading between two rows interpolates.
class Table {
  constructor(columns, room = 256) {
    this.columns = columns;
    this.rows = 0;
    this.data = new Float32Array(Math.max(1, columns) * room);
    this.steps = new Float32Array(room);
  }
  // A whole table over numbers that are there already.
  static over(data, steps, columns) { return Object.assign(new Table(columns, 0), { data, steps, rows: steps.length }); }
  append(rows, steps) {
    const count = steps.length;
    while ((this.rows + count) * this.columns > this.data.length || this.rows + count > this.steps.length) {
      const data = new Float32Array(this.data.length * 2);
      data.set(this.data);
      const grown = new Float32Array(this.steps.length * 2);
      grown.set(this.steps);
      this.data = data;
      this.steps = grown;
    }
    this.data.set(rows, this.rows * this.columns);
    this.steps.set(steps, this.rows);
    this.rows += count;
  }
  get(row, column) { return this.data[row * this.columns + column]; }
  at(place, column) {
    if (!this.rows) return NaN;
    const clamped = Math.min(Math.max(place, 0), this.rows - 1);
    const row = Math.floor(clamped);
    const a = this.get(row, column);
    if (row === clamped) return a;
    const b = this.get(row + 1, column);
    return Number.isNaN(b) ? a : a + (b - a) * (clamped - row);
  }
  step(place) {
    if (!this.rows) return 0;
    const row = Math.min(Math.max(Math.floor(place), 0), this.rows - 1);
    const next = Math.min(row + 1, this.rows - 1);
    return this.steps[row] + (this.steps[next] - this.steps[row]) * Math.min(1, Math.max(0, place - row));
  }
}

function asFloats(view) {
  if (!view || !view.byteLength) return new Float32Array(0);
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

function asBytes(view) {
  return new Uint8Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}
