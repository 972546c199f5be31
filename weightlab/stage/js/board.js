// The stage's two canvases: what stands still is drawn again only when it has changed.

import { drawAxes } from "./axes.js";
import { buildLegend } from "./legend.js";
import { drawPad } from "./pointer.js";
import { PALETTE } from "./pure/colours.js";
import { cellBox, layoutView, stackedHeights } from "./pure/layout.js";
import { drawSeries, paintRaster } from "./series.js";
import { showPlace } from "./transport.js";
import { describe } from "./words.js";

const SHORT_WINDOW = "max(340px, 57vh)"; // the picture leaves room for controls

function readTheme(element) {
  const style = getComputedStyle(element);
  const flag = document.body.dataset.jpThemeLight;
  const dark = flag ? flag === "false" : matchMedia("(prefers-color-scheme: dark)").matches;
  const colour = (name, otherwise) => style.getPropertyValue(`--wl-${name}`).trim() || otherwise;
  return {
    dark,
    ink: colour("ink", "#222"),
    faint: colour("faint", "#777"),
    grid: colour("grid", "#ddd"),
    paper: colour("paper", "#fff"),
    palette: dark ? PALETTE.dark : PALETTE.light,
    font: style.fontFamily,
  };
}

// On a narrow or magnified page the views stand one below the other.
export function arrangeViews(stage) {
  stage.stacked = stackedHeights(stage.scene, stage.board.clientWidth);
  const height = stage.stacked ? `${stage.stacked.reduce((a, b) => a + b)}px` : `min(${stage.scene.height}px, ${SHORT_WINDOW})`;
  stage.board.style.height = height;
  stage.root.classList.toggle("wl-stacked", Boolean(stage.stacked));
  stage.root.style.setProperty("--wl-pinned", `${stage.pinned.offsetHeight}px`);
}

function boardSize(stage) { return [Math.max(50, stage.board.clientWidth), Math.max(50, stage.board.clientHeight)]; }

function fitted(stage, canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = boardSize(stage);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return { ctx, width, height };
}

export function drawStill(stage) {
  if (!stage.board.clientWidth) return; // hidden page: drawn when it shows
  stage.dirty.still = false;
  stage.dirty.moving = true;
  arrangeViews(stage);
  const [width, height] = boardSize(stage);
  const views = (stage.fanShown && stage.fanShown.picture.views) || stage.scene.views;
  const bowl = (view) => (view.bowl && stage.fanShown && stage.fanShown.picture.bowl) || view.bowl;
  const box = (number) => cellBox({ ...stage.scene, views }, stage.stacked, number, width, height);
  stage.plots = views.map((view, i) => layoutView(view, box(i), stage.picture, stage.table));
  // Another run over the same axes leaves what stands still as it is: drawing it is the dearest part of a picture.
  const stands = JSON.stringify([width, height, stage.plots.map((plot) => [plot.view.name, plot.view.title, plot.view.x,
    plot.view.y, plot.x.limits, plot.y.limits, bowl(plot.view), plot.references])]);
  if (stands === stage.stands && !stage.dirty.all) return;
  stage.stands = stands;
  stage.dirty.all = false;
  stage.theme = readTheme(stage.root);
  const { ctx } = fitted(stage, stage.still);
  for (const plot of stage.plots) drawAxes(ctx, plot, stage.theme, stage.images.get(plot.view.name), bowl(plot.view));
  const dark = stage.theme.dark;
  if (dark !== stage.legendDark) { stage.legendDark = dark; showLegend(stage); }
}

export function showLegend(stage) {
  if (!stage.theme) return;
  stage.legend.replaceChildren(...buildLegend(stage.picture, stage.theme));
}

export function drawMoving(stage) {
  if (!stage.plots) return;
  stage.dirty.moving = false;
  const { ctx } = fitted(stage, stage.moving);
  for (const plot of stage.plots) {
    drawSeries(ctx, plot, stage.table, stage.place, stage.theme, stage.picture.groups, paintedRaster(stage, plot.view.name));
    if (plot.view.pad) drawPad(stage, ctx, plot);
  }
  stage.stats.frames += 1;
  if (stage.fresh) { stage.fresh = false; stage.stats.pictures += 1; }
  if (stage.arrived) {
    stage.stats.latencies.push(performance.now() - stage.arrived.sent);
    stage.arrived = null;
  }
  showPlace(stage);
  describe(stage);
}

function paintedRaster(stage, name) {
  const raster = stage.rasters.get(name);
  if (!raster) return null;
  if (raster.dark !== stage.theme.dark) Object.assign(raster, { painted: paintRaster(raster, stage.theme), dark: stage.theme.dark });
  return raster.painted;
}
