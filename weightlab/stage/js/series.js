// Draws one view's series on the moving canvas: paths, curves, bars, arrows, dots, rasters.

import { clipTo, drawReferences } from "./axes.js";
import { colourOf, dashOf, layerColour, markerOf } from "./pure/colours.js";
import { shortNumber } from "./pure/scales.js";

export function drawMarker(ctx, shape, x, y, radius, fill, edge) {
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

function drawPath(ctx, plot, series, table, place, theme) {
  const colour = colourOf(theme, series.colour);
  const [cx, cy] = series.columns;
  const stride = table.stride(3000);
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
  const [x0, y0] = point(0);
  drawMarker(ctx, "circle", x0, y0, 3.5, theme.paper, theme.ink);
  const [x1, y1] = point(table.end(place, cx));
  if (Number.isFinite(x1)) drawMarker(ctx, markerOf(series.colour), x1, y1, 6, colour, theme.paper);
}

function drawCurve(ctx, plot, column, colour, dash, table, place, width, marker, theme) {
  const stride = table.stride(2 * plot.area.w);
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
  const [x, y] = point(table.end(place, column));
  if (Number.isFinite(x) && Number.isFinite(y)) drawMarker(ctx, marker, x, y, 4.5, colour, theme.paper);
}

function drawBars(ctx, plot, series, table, place, theme, total, index, layered) {
  const base = plot.y.log ? plot.area.y + plot.area.h : plot.y.at(Math.max(0, plot.y.limits[0]));
  const slot = Math.abs(plot.x.at(1) - plot.x.at(0));
  const width = Math.max(2, Math.min(30, (slot * 0.72) / total));
  series.columns.forEach((column, i) => {
    const value = table.at(place, column);
    const own = total > 1 || !layered;
    const colour = own ? colourOf(theme, series.colour) : layerColour(i, series.columns.length, theme.dark);
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
    const colour = colourOf(theme, arrow.series.colour);
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
export function paintRaster(raster, theme) {
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
    const colour = colourOf(theme, reference.colour);
    reference.xs.forEach((xv, i) => {
      drawMarker(ctx, markerOf(reference.colour), plot.x.at(xv), plot.y.at(reference.ys[i]), 2.6, colour, theme.paper);
    });
  }
}

export function drawSeries(ctx, plot, table, place, theme, groups, raster) {
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
      const colour = colourOf(theme, series.colour);
      const dash = dashOf(series, lines.length > 1);
      drawCurve(ctx, plot, series.columns[0], colour, dash, table, place, 2, markerOf(series.colour), theme);
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
