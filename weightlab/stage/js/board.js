// The stage's two canvases: what stands still is drawn again only when it has changed.

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

function drawStill(stage) {
  if (!stage.board.clientWidth) return; // hidden page: drawn when it shows
  stage.dirty.still = false;
  stage.dirty.moving = true;
  arrangeViews(stage);
  const [width, height] = boardSize(stage);
  const views = (stage.fanShown && stage.fanShown.picture.views) || stage.scene.views;
  const bowl = (view) => (view.bowl && stage.fanShown && stage.fanShown.picture.bowl) || view.bowl;
  stage.plots = views.map((view, i) => layoutView(view, cellBox(stage, view, i, width, height), stage.picture, stage.table));
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

function showLegend(stage) {
  if (!stage.theme) return;
  const items = buildLegend(stage.picture, stage.theme);
  stage.legend.replaceChildren(...items);
}

function drawMoving(stage) {
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
