// Draws one view: axes on the still canvas, series on the moving one.

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
  const yLimits = axisLimits(view.y, yColumns, table, null, references.flatMap((r) => r.ys));
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
    ctx.fillText(tick.text, px, area.y + area.h + 6);
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

function drawMarker(ctx, shape, x, y, radius, fill, edge) {
  ctx.beginPath();
  if (shape === "square") ctx.rect(x - radius, y - radius, 2 * radius, 2 * radius);
  else if (shape === "triangle") {
    ctx.moveTo(x, y - radius * 1.25); ctx.lineTo(x + radius * 1.15, y + radius * 0.85); ctx.lineTo(x - radius * 1.15, y + radius * 0.85); ctx.closePath();
  } else if (shape === "diamond") {
    ctx.moveTo(x, y - radius * 1.35); ctx.lineTo(x + radius * 1.35, y); ctx.lineTo(x, y + radius * 1.35); ctx.lineTo(x - radius * 1.35, y); ctx.closePath();
  } else ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = fill;
  ctx.fill();
  ctx.lineWidth = radius > 3 ? 1.5 : 0.7;
  ctx.strokeStyle = edge;
  ctx.stroke();
}

// A polyline through pixel pairs from row a to place b; gaps where a value is not finite.
function tracePolyline(ctx, a, b, stride, point) {
  let open = false;
  const visit = (row) => {
    const [px, py] = point(row);
    if (!Number.isFinite(px) || !Number.isFinite(py)) { open = false; return; }
    if (open) ctx.lineTo(clampPixel(px), clampPixel(py)); else ctx.moveTo(clampPixel(px), clampPixel(py));
    open = true;
  };
  for (let row = a; row < b; row += stride) visit(row);
  visit(b);
}

function clampPixel(p) { return p > 20000 ? 20000 : p < -20000 ? -20000 : p; }

function lastFiniteRow(table, place, column) {
  let row = Math.floor(Math.min(place, table.rows - 1));
  while (row > 0 && !Number.isFinite(table.get(row, column))) row--;
  return row;
}

function drawPath(ctx, plot, series, table, place, theme) {
  const colour = theme.palette[series.colour % theme.palette.length];
  const [cx, cy] = series.columns;
  const stride = Math.max(1, Math.floor(table.rows / 3000));
  const point = (row) => [plot.x.at(table.at(row, cx)), plot.y.at(table.at(row, cy))];
  ctx.strokeStyle = colour;
  ctx.lineJoin = "round";
  ctx.setLineDash(series.dashed ? [6, 4] : []);
  if (place < table.rows - 1) {
    ctx.globalAlpha = 0.28;
    ctx.lineWidth = 1.2;
    ctx.beginPath();
    tracePolyline(ctx, Math.floor(place), table.rows - 1, stride, point);
    ctx.stroke();
    ctx.globalAlpha = 1;
  }
  const pieces = 10;
  for (let piece = 0; piece < pieces; piece++) {
    const a = Math.floor((place * piece) / pieces);
    const b = piece === pieces - 1 ? place : Math.floor((place * (piece + 1)) / pieces);
    if (b <= a) continue;
    ctx.lineWidth = 1.3 + (1.5 * (piece + 1)) / pieces; // thin where it came from: paler would be too pale to see
    ctx.beginPath();
    tracePolyline(ctx, a, b, stride, point);
    ctx.stroke();
  }
  ctx.setLineDash([]);
  const end = Number.isFinite(table.at(place, cx)) ? place : lastFiniteRow(table, place, cx);
  const [x0, y0] = point(0);
  drawMarker(ctx, "circle", x0, y0, 3.5, theme.paper, theme.ink);
  const [x1, y1] = point(end);
  if (Number.isFinite(x1)) drawMarker(ctx, MARKERS[series.colour % 4], x1, y1, 6, colour, theme.paper);
}

function drawCurve(ctx, plot, column, colour, dash, table, place, width, marker, theme) {
  const stride = Math.max(1, Math.floor(table.rows / (plot.area.w * 2)));
  const point = (row) => [plot.x.at(table.step(row)), plot.y.at(table.at(row, column))];
  ctx.strokeStyle = colour;
  ctx.setLineDash(dash);
  ctx.lineWidth = width;
  if (place < table.rows - 1) {
    ctx.globalAlpha = 0.3;
    ctx.beginPath();
    tracePolyline(ctx, Math.floor(place), table.rows - 1, stride, point);
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
  ctx.beginPath();
  tracePolyline(ctx, 0, place, stride, point);
  ctx.stroke();
  ctx.setLineDash([]);
  if (!marker) return;
  const end = Number.isFinite(table.at(place, column)) ? place : lastFiniteRow(table, place, column);
  const [x, y] = point(end);
  if (Number.isFinite(x) && Number.isFinite(y)) drawMarker(ctx, marker, x, y, 4.5, colour, theme.paper);
}

function drawBars(ctx, plot, series, table, place, theme, total, index, layered) {
  const base = plot.y.log ? plot.area.y + plot.area.h : plot.y.at(Math.max(0, plot.y.limits[0]));
  const slot = Math.abs(plot.x.at(1) - plot.x.at(0));
  const width = Math.max(2, Math.min(30, (slot * 0.72) / total));
  series.columns.forEach((column, i) => {
    const value = table.at(place, column);
    const own = total > 1 || !layered;
    const colour = own ? theme.palette[series.colour % theme.palette.length] : layerColour(i, series.columns.length, theme.dark);
    const px = plot.x.at(i) + (index - (total - 1) / 2) * width;
    const py = plot.y.at(value);
    ctx.fillStyle = colour;
    if (Number.isFinite(py)) {
      const top = Math.min(Math.max(py, plot.area.y), plot.area.y + plot.area.h - 1.5);
      ctx.fillRect(px - width / 2, top, width - (total > 1 ? 1 : 0), base - top);
    } else {
      ctx.font = `600 12px ${theme.font}`;
      ctx.fillStyle = theme.ink;
      ctx.textAlign = "center";
      ctx.textBaseline = "bottom";
      ctx.fillText(value === 0 ? "0" : "×", px, base - 2);
    }
  });
}

// All arrows of a view share one magnification, so that their lengths compare; the longest is 80 px.
function drawArrows(ctx, plot, arrows, table, place, theme) {
  const shown = arrows.map((series) => {
    const [x, y, dx, dy] = series.columns.map((c) => table.at(Math.round(place), c));
    return { series, x0: plot.x.at(x), y0: plot.y.at(y), dx: dx * plot.x.gain, dy: dy * plot.y.gain };
  }).filter((a) => Number.isFinite(a.x0 + a.y0 + a.dx + a.dy));
  const longest = Math.max(...shown.map((a) => Math.hypot(a.dx, a.dy)), 1e-12);
  const grow = longest > 240 ? 240 / longest : longest < 80 ? Math.min(80 / longest, 1e6) : 1;
  shown.forEach((arrow) => {
    const colour = theme.palette[arrow.series.colour % theme.palette.length];
    const x1 = arrow.x0 + arrow.dx * grow;
    const y1 = arrow.y0 + arrow.dy * grow;
    if (Math.hypot(x1 - arrow.x0, y1 - arrow.y0) < 3) return;
    const angle = Math.atan2(y1 - arrow.y0, x1 - arrow.x0);
    ctx.strokeStyle = colour;
    ctx.fillStyle = colour;
    ctx.lineWidth = 2.4;
    ctx.setLineDash(arrow.series.dashed ? [5, 3] : []);
    ctx.beginPath();
    ctx.moveTo(arrow.x0, arrow.y0);
    ctx.lineTo(x1 - 7 * Math.cos(angle), y1 - 7 * Math.sin(angle));
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.moveTo(x1, y1);
    ctx.lineTo(x1 - 10 * Math.cos(angle - 0.4), y1 - 10 * Math.sin(angle - 0.4));
    ctx.lineTo(x1 - 10 * Math.cos(angle + 0.4), y1 - 10 * Math.sin(angle + 0.4));
    ctx.fill();
  });
  placeArrowNames(ctx, plot, shown, grow, theme);
  if (longest > 1e-9 && Math.abs(grow - 1) > 0.05) {
    ctx.font = `12px ${theme.font}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    ctx.fillStyle = theme.ink;
    ctx.fillText(`arrows drawn ×${shortNumber(grow)}`, plot.area.x + 6, plot.area.y + plot.area.h - 5);
  }
}

function placeArrowNames(ctx, plot, shown, grow, theme) {
  const { area } = plot;
  const taken = [];
  ctx.font = `600 12px ${theme.font}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  for (const arrow of shown) {
    const x1 = arrow.x0 + arrow.dx * grow;
    const y1 = arrow.y0 + arrow.dy * grow;
    if (Math.hypot(arrow.dx, arrow.dy) * grow < 3) continue;
    const text = arrow.series.name;
    const width = ctx.measureText(text).width;
    const px = Math.min(Math.max(arrow.dx >= 0 ? x1 + 6 : x1 - width - 6, area.x + 3), area.x + area.w - width - 3);
    let py = Math.min(Math.max(y1, area.y + 10), area.y + area.h - 10);
    while (taken.some((t) => Math.abs(t.y - py) < 15 && px < t.x + t.w && t.x < px + width)) py += 15;
    taken.push({ x: px, y: py, w: width });
    ctx.fillStyle = theme.paper;
    ctx.globalAlpha = 0.75;
    ctx.fillRect(px - 2, py - 8, width + 4, 16);
    ctx.globalAlpha = 1;
    ctx.fillStyle = theme.ink; // as text the colours of lines are too pale
    ctx.fillText(text, px, py);
  }
}

// Class regions as a small image; the stage stretches it over the view's limits.
function paintRaster(raster, theme) {
  const { rows, columns } = raster;
  const canvas = new OffscreenCanvas(columns, rows);
  const ctx = canvas.getContext("2d");
  const image = ctx.createImageData(columns, rows);
  const rgb = theme.palette.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  const cells = rows * columns;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const from = row * columns + column;
      const to = 4 * ((rows - 1 - row) * columns + column);
      image.data.set(rgb[raster.bytes[from] % rgb.length], to);
      image.data[to + 3] = 15 + raster.bytes[cells + from] * 0.4;
    }
  }
  ctx.putImageData(image, 0, 0);
  return canvas;
}

function drawDots(ctx, plot, theme) {
  for (const reference of plot.references.filter((r) => r.kind === "dots")) {
    const colour = theme.palette[reference.colour % theme.palette.length];
    reference.xs.forEach((xv, i) => {
      drawMarker(ctx, MARKERS[reference.colour % 4], plot.x.at(xv), plot.y.at(reference.ys[i]), 2.6, colour, theme.paper);
    });
  }
}

function drawSeries(ctx, plot, table, place, theme, groups, raster) {
  if (!table.rows) return;
  ctx.save();
  clipTo(ctx, plot.area);
  if (raster) ctx.drawImage(raster, plot.area.x, plot.area.y, plot.area.w, plot.area.h);
  drawDots(ctx, plot, theme);
  const bars = plot.series.filter((s) => s.kind === "bars");
  const lines = plot.series.filter((s) => s.kind === "curve");
  for (const series of plot.series) {
    if (series.kind === "path") drawPath(ctx, plot, series, table, place, theme);
    else if (series.kind === "curve") {
      const colour = theme.palette[series.colour % theme.palette.length];
      const dash = series.dashed ? [6, 4] : lines.length > 1 ? DASHES[series.colour % DASHES.length] : [];
      drawCurve(ctx, plot, series.columns[0], colour, dash, table, place, 2, MARKERS[series.colour % 4], theme);
    } else if (series.kind === "family") {
      series.columns.forEach((column, i) => {
        const colour = layerColour(series.groups[i], groups.length, theme.dark);
        drawCurve(ctx, plot, column, colour, [], table, place, 1.4, null, theme);
      });
    } else if (series.kind === "bars") drawBars(ctx, plot, series, table, place, theme, bars.length, bars.indexOf(series), groups.length > 0);
  }
  if (plot.references.some((r) => r.kind === "marks")) drawReferences(ctx, { ...plot, references: plot.references.filter((r) => r.kind === "marks") }, theme);
  const arrows = plot.series.filter((s) => s.kind === "arrow");
  if (arrows.length) drawArrows(ctx, plot, arrows, table, place, theme);
  ctx.restore();
}
