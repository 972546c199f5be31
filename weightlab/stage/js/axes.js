// Lays out one view, and draws on the still canvas: axes, the bowl, reference lines.

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
  const stride = Math.max(1, Math.floor(table.rows / 2000));
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

function layoutView(view, box, picture, table) {
  const series = picture.series.filter((s) => s.view === view.name);
  const references = picture.references.filter((r) => r.view === view.name);
  const yColumns = series.flatMap((s) => (s.kind === "path" || s.kind === "arrow" ? [s.columns[1]] : s.columns));
  const xColumns = series.flatMap((s) => (s.kind === "path" || s.kind === "arrow" ? [s.columns[0]] : []));
  const overSteps = series.some((s) => s.kind === "curve" || s.kind === "family");
  const bars = series.filter((s) => s.kind === "bars");
  const last = lastStep(picture, table);
  let span = null;
  if (bars.length) span = [-0.6, Math.max(...bars.map((s) => s.columns.length)) - 0.4];
  else if (overSteps) span = [0, Math.max(1, last)];
  const xLimits = axisLimits(view.x, xColumns, table, span, references.flatMap((r) => r.xs));
  const foot = bars.length ? [0] : []; // a bar's length says something only if it stands on zero
  const yLimits = axisLimits(view.y, yColumns, table, null, [...references.flatMap((r) => r.ys), ...foot]);
  const margin = { left: 64, right: 18, top: 26, bottom: 40 };
  const area = {
    x: box.x + margin.left, y: box.y + margin.top,
    w: box.w - margin.left - margin.right, h: box.h - margin.top - margin.bottom,
  };
  return {
    view, series, references, area, bars: bars.length > 0,
    x: makeScale(view.x.scale === "log", xLimits, area.x, area.x + area.w),
    y: makeScale(view.y.scale === "log", yLimits, area.y + area.h, area.y),
  };
}

// Ellipses of ½wᵀHw at the given losses: shaded between neighbours, the lower the stronger, and lined.
function drawBowl(ctx, plot, [xx, xy, yy, ...levels]) {
  const { area, x, y } = plot;
  const mean = (xx + yy) / 2;
  const spread = Math.hypot((xx - yy) / 2, xy);
  const flat = mean - spread;
  const steep = mean + spread;
  const angle = 0.5 * Math.atan2(2 * xy, xx - yy); // of the steep axis
  ctx.save();
  clipTo(ctx, area);
  const ellipse = (path, level) => {
    const turned = new Path2D();
    turned.ellipse(0, 0, Math.sqrt((2 * level) / steep), Math.sqrt((2 * level) / flat), angle, 0, 2 * Math.PI);
    path.addPath(turned, new DOMMatrix([x.gain, 0, 0, y.gain, x.at(0), y.at(0)]));
    return path;
  };
  levels.forEach((level, i) => {
    const band = ellipse(new Path2D(), level);
    if (i) ellipse(band, levels[i - 1]);
    ctx.fillStyle = `rgba(61, 107, 153, ${0.34 * Math.pow(1 - i / levels.length, 1.3)})`;
    ctx.fill(band, "evenodd");
  });
  ctx.strokeStyle = "rgba(92, 128, 163, 0.55)";
  ctx.lineWidth = 1;
  for (const level of levels) ctx.stroke(ellipse(new Path2D(), level));
  ctx.restore();
}

function drawAxes(ctx, plot, theme, image, bowl) {
  const { area, view } = plot;
  ctx.save();
  if (bowl) drawBowl(ctx, plot, bowl);
  else if (image) ctx.drawImage(image, area.x, area.y, area.w, area.h);
  ctx.font = `12px ${theme.font}`;
  ctx.lineWidth = 1;
  drawTicks(ctx, plot, theme, !image && !bowl);
  ctx.strokeStyle = theme.faint;
  ctx.strokeRect(area.x + 0.5, area.y + 0.5, area.w, area.h);
  ctx.fillStyle = theme.ink;
  ctx.textAlign = "center";
  ctx.textBaseline = "bottom";
  ctx.fillText(view.x.label, area.x + area.w / 2, area.y + area.h + 37, area.w + 60);
  ctx.save();
  ctx.translate(area.x - 49, area.y + area.h / 2);
  ctx.rotate(-Math.PI / 2);
  ctx.fillText(view.y.label, 0, 0, area.h + 40);
  ctx.restore();
  ctx.font = `600 13px ${theme.font}`;
  ctx.textAlign = "left";
  ctx.fillText(view.title, area.x, area.y - 7, area.w + 14);
  ctx.restore();
  drawReferences(ctx, plot, theme);
}

function drawTicks(ctx, plot, theme, lines) {
  const { area, view, x, y } = plot;
  const wanted = Math.max(3, Math.floor(area.w / 75));
  const named = view.x.ticks.map((text, value) => ({ value, text }));
  const stride = Math.ceil(named.length / Math.max(1, Math.floor(area.w / 42)));
  const xTicks = named.length ? named.filter((t) => t.value % stride === 0)
    : x.log ? logTicks(...x.limits, wanted) : linearTicks(...x.limits, wanted);
  const room = named.length ? stride * Math.abs(x.at(1) - x.at(0)) - 8 : undefined; // names that touch read as one word
  const yTicks = (y.log ? logTicks : linearTicks)(...y.limits, Math.max(2, Math.floor(area.h / 36)));
  ctx.strokeStyle = theme.grid;
  ctx.fillStyle = theme.faint;
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  ctx.beginPath();
  for (const tick of xTicks) {
    const px = Math.round(x.at(tick.value)) + 0.5;
    if (px < area.x - 1 || px > area.x + area.w + 1) continue;
    if (lines && !named.length) { ctx.moveTo(px, area.y); ctx.lineTo(px, area.y + area.h); }
    ctx.fillText(tick.text, px, area.y + area.h + 6, room);
  }
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const tick of yTicks) {
    const py = Math.round(y.at(tick.value)) + 0.5;
    if (py < area.y - 1 || py > area.y + area.h + 1) continue;
    if (lines) { ctx.moveTo(area.x, py); ctx.lineTo(area.x + area.w, py); }
    ctx.fillText(tick.text, area.x - 6, py);
  }
  ctx.stroke();
}

function clipTo(ctx, area) {
  ctx.beginPath();
  ctx.rect(area.x - 1, area.y - 1, area.w + 2, area.h + 2);
  ctx.clip();
}

// The path begun, with a rim in the paper's colour: seen on dark bars and bright maps too.
function strokeOnAnything(ctx, theme) {
  const { strokeStyle, lineWidth } = ctx;
  Object.assign(ctx, { strokeStyle: theme.paper, lineWidth: lineWidth + 2, globalAlpha: 0.7 });
  ctx.stroke();
  Object.assign(ctx, { strokeStyle, lineWidth, globalAlpha: 1 });
  ctx.stroke();
}

function drawReferences(ctx, plot, theme) {
  ctx.save();
  clipTo(ctx, plot.area);
  ctx.strokeStyle = theme.ink;
  ctx.fillStyle = theme.ink;
  ctx.lineWidth = 1.6;
  const half = Math.max(2, Math.min(10, Math.abs(plot.x.at(1) - plot.x.at(0)) * 0.42));
  let labelled = 0;
  for (const reference of plot.references.filter((r) => r.kind !== "dots")) {
    const line = reference.kind === "line" || reference.kind === "trace";
    ctx.setLineDash(line ? [5, 4] : []);
    ctx.strokeStyle = reference.kind === "trace" ? theme.palette[reference.colour % theme.palette.length] : theme.ink;
    ctx.beginPath();
    reference.xs.forEach((xv, i) => {
      const px = plot.x.at(xv);
      const py = plot.y.at(reference.ys[i]);
      if (line) { if (i) ctx.lineTo(px, py); else ctx.moveTo(px, py); }
      else if (reference.kind === "marks") { ctx.moveTo(px - half, py); ctx.lineTo(px + half, py); }
      else { ctx.moveTo(px - 5, py); ctx.lineTo(px + 5, py); ctx.moveTo(px, py - 5); ctx.lineTo(px, py + 5); }
    });
    strokeOnAnything(ctx, theme);
    if (reference.label && reference.xs.length) {
      drawReferenceLabel(ctx, plot, reference, theme, Math.max(0.15, 0.75 - 0.35 * labelled));
      labelled += 1;
    }
  }
  ctx.restore();
}

// `share`: how far along the line the words stand, so that the words of several lines keep apart.
function drawReferenceLabel(ctx, plot, reference, theme, share) {
  const { area } = plot;
  ctx.font = `12px ${theme.font}`;
  ctx.setLineDash([]);
  const width = ctx.measureText(reference.label).width;
  const xs = reference.xs.map(plot.x.at);
  const ys = reference.ys.map(plot.y.at);
  const inside = xs.map((x, i) => i).filter((i) => xs[i] >= area.x && xs[i] <= area.x + area.w && ys[i] >= area.y && ys[i] <= area.y + area.h);
  const pick = inside.length ? inside[Math.floor((inside.length - 1) * share)] : 0;
  const px = Math.min(Math.max(xs[pick] + 6, area.x + 4), area.x + area.w - width - 6);
  const py = Math.min(Math.max(ys[pick] - 8, area.y + 14), area.y + area.h - 6);
  ctx.fillStyle = theme.paper;
  ctx.globalAlpha = 0.8;
  ctx.fillRect(px - 3, py - 12, width + 6, 16);
  ctx.globalAlpha = 1;
  ctx.fillStyle = theme.ink;
  ctx.textAlign = "left";
  ctx.textBaseline = "alphabetic";
  ctx.fillText(reference.label, px, py);
}
