// Numbers as texts, ticks, and the mapping from data to pixels.

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

function powerOfTen(exponent) {
  if (exponent >= -2 && exponent <= 3) return String(Number(Math.pow(10, exponent).toPrecision(3)));
  return "10" + String(exponent).split("").map((c) => SUPERSCRIPT[c]).join("");
}

export function shortNumber(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace("e+", "e").replaceAll("-", "−");
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

export function linearTicks(low, high, wanted) {
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

export function logTicks(low, high, wanted) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  if (last - first < 1) return linearTicks(low, high, wanted).filter((t) => t.value > 0);
  const stride = Math.max(1, Math.ceil((last - first) / Math.max(1, wanted)));
  const ticks = [];
  for (let e = first; e <= last; e += stride) ticks.push({ value: Math.pow(10, e), text: powerOfTen(e) });
  return ticks;
}

// limits [lo, hi] of the data onto pixels [from, to]
export function makeScale(log, limits, from, to) {
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

// The place of the position that is nearest to a value.
export function nearestPosition(positions, value) {
  let best = 0;
  positions.forEach((p, i) => { if (Math.abs(p - value) < Math.abs(positions[best] - value)) best = i; });
  return best;
}
