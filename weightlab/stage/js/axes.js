// Draws on the still canvas: axes, the bowl, reference lines.

import { colourOf } from "./pure/colours.js";
import { axisTicks } from "./pure/layout.js";

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

export function drawAxes(ctx, plot, theme, image, bowl) {
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
  const { area, x, y } = plot;
  const { xTicks, yTicks, room } = axisTicks(plot);
  ctx.strokeStyle = theme.grid;
  ctx.fillStyle = theme.faint;
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  ctx.beginPath();
  for (const tick of xTicks) {
    const px = Math.round(x.at(tick.value)) + 0.5;
    if (px < area.x - 1 || px > area.x + area.w + 1) continue;
    if (lines && room === undefined) { ctx.moveTo(px, area.y); ctx.lineTo(px, area.y + area.h); }
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

export function clipTo(ctx, area) {
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

export function drawReferences(ctx, plot, theme) {
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
    ctx.strokeStyle = reference.kind === "trace" ? colourOf(theme, reference.colour) : theme.ink;
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
