// What the browser tests do to a panel, as a hand would, and what they see. Runs in the page as window.drive.
window.drive = (() => {
  const cells = () => window.jupyterapp.shell.currentWidget.content.widgets;
  const roots = (cell) => [...cells()[cell].node.querySelectorAll(".weightlab")];
  const stageOf = (cell) => {
    const root = roots(cell)[0];
    return root && root.weightlab;
  };

  // The value of `look` once it is true; an error that says what did not happen when it is late.
  async function until(look, words, seconds = 20) {
    const end = performance.now() + 1000 * seconds;
    for (;;) {
      const found = look();
      if (found) return found;
      if (performance.now() > end) throw new Error(`not within ${seconds} s: ${words}`);
      await new Promise(requestAnimationFrame);
    }
  }

  const transport = (stage) => stage.model.get("transport");
  const answered = (stage) => !stage.sentAt.size && !Object.keys(stage.pending).length && !stage.local.size && !stage.fresh;
  const answer = (stage, words) => until(() => answered(stage), `an answer to ${words}`);
  async function rest(stage, words) {
    await answer(stage, words);
    await until(() => transport(stage).state !== "running", `the end of the run after ${words}`, 40);
    await answer(stage, words);
  }

  function hash(bytes, seed = 0x811c9dc5) {
    let h = seed;
    for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i], 0x01000193);
    return h >>> 0;
  }
  const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

  // Everything a learner can see change, as one number: picture, axes, backdrops, reading, summary.
  function print(stage) {
    const { table, picture } = stage;
    const text = JSON.stringify([picture.series, picture.references, picture.groups, stage.model.get("reading"),
      stage.model.get("summary"), stage.scene.widths, stage.scene.views.map(({ png, ...view }) => view)]);
    let h = hash(new TextEncoder().encode(text));
    h = hash(bytesOf(table.data.subarray(0, table.rows * table.columns)), h);
    h = hash(bytesOf(table.steps.subarray(0, table.rows)), h);
    for (const view of stage.scene.views) if (view.png && view.png.byteLength) h = hash(bytesOf(view.png), h);
    for (const raster of stage.rasters.values()) h = hash(raster.bytes, h);
    return h;
  }

  function state(cell) {
    const stage = stageOf(cell);
    const rows = [...stage.root.querySelectorAll(".wl-control")];
    const nameOf = (row) => row.querySelector("[data-name]").dataset.name;
    const { table } = stage;
    const notice = stage.model.get("notice");
    return {
      controls: stage.model.get("controls"), values: stage.model.get("values"), print: print(stage),
      visible: rows.filter((row) => row.offsetParent !== null).map(nameOf),
      hidden: rows.filter((row) => row.offsetParent === null).map(nameOf), unused: stage.model.get("unused"),
      failure: notice.kind === "error" ? notice.text : stage.silence.hidden ? "" : stage.silence.textContent,
      shownFailure: stage.notice.hidden || !stage.notice.classList.contains("wl-error") ? "" : stage.notice.textContent,
      transport: transport(stage), rows: table.rows, place: stage.place, playing: stage.playing, speed: stage.speed,
      firstRow: Array.from(table.data.subarray(0, table.columns), String), // NaN is no JSON
      lastRow: Array.from(table.data.subarray((table.rows - 1) * table.columns, table.rows * table.columns), String),
      lastStep: table.step(table.rows - 1), replay: !stage.replay.hidden,
      questions: stage.model.get("questions"), reading: stage.model.get("reading").length,
      buttons: { new_seed: Boolean(stage.root.querySelector("[data-action=new_seed]")) },
      pads: stage.plots.filter((plot) => plot.view.pad).map((plot) => plot.view.name),
    };
  }

  const element = (stage, name) => stage.root.querySelector(`[data-name="${name}"]`);

  // Put the other controls where `context` has them and move this one by hand: its own element, its own event.
  async function move(cell, name, value, context) {
    const stage = stageOf(cell);
    const values = stage.model.get("values");
    for (const [other, wanted] of Object.entries(context)) {
      if (other !== name && values[other] !== wanted) stage.set(other, wanted);
    }
    const node = element(stage, name);
    const spec = stage.model.get("controls").find((control) => control.name === name);
    if (spec.kind === "toggle") { if (node.checked !== value) node.click(); }
    else {
      node.value = spec.kind === "slider" ? spec.positions.indexOf(value) : value;
      node.dispatchEvent(new Event(spec.kind === "slider" ? "input" : "change", { bubbles: true }));
    }
    await rest(stage, `${name} = ${value}`);
    return state(cell);
  }

  async function put(cell, values) {
    const stage = stageOf(cell);
    for (const [name, value] of Object.entries(values)) stage.set(name, value);
    await rest(stage, "all values");
    return state(cell);
  }

  const button = (stage, action) => stage.root.querySelector(`[data-action="${action}"]`);
  async function press(cell, action, look = () => true, words = "") {
    const stage = stageOf(cell);
    const found = button(stage, action);
    if (!found || found.disabled) throw new Error(`${action} cannot be pressed: ${found ? "disabled" : "absent"}`);
    found.click();
    await answer(stage, action);
    await until(() => look(stage), `${words} after ${action}`);
    return state(cell);
  }

  async function step(cell, count) {
    const stage = stageOf(cell);
    for (let i = 0; i < count; i++) {
      const found = button(stage, "step");
      if (found && !found.disabled) found.click();
    }
    await rest(stage, "Step");
    return state(cell);
  }

  async function showPanel(cell, seconds) {
    const begun = performance.now();
    await until(() => stageOf(cell), "a panel in the page", seconds);
    roots(cell)[0].scrollIntoView({ block: "center" });
    const left = () => seconds - (performance.now() - begun) / 1000;
    await until(() => stageOf(cell).stats.frames > 0 && answered(stageOf(cell)), "a picture drawn", left());
    await until(() => !views(stageOf(cell)).some((view) => view.empty), "something in each view", left());
    return views(stageOf(cell));
  }

  // A view is empty when its axes are not drawn, or when numbers are there to be drawn and no ink is where they belong.
  function views(stage) {
    const ratio = window.devicePixelRatio || 1;
    const inked = (canvas, area) => {
      const box = [area.x, area.y, Math.max(1, area.w), Math.max(1, area.h)].map((v) => Math.round(v * ratio));
      const { data } = canvas.getContext("2d").getImageData(...box);
      for (let i = 3; i < data.length; i += 4) if (data[i]) return true;
      return false;
    };
    return stage.plots.map((plot) => {
      const log = plot.view.y.scale === "log";
      const drawable = (v) => Number.isFinite(v) && (!log || v > 0);
      const numbers = plot.series.some((s) => s.kind !== "arrow" && s.columns.some((c) => {
        for (let row = 0; row < stage.table.rows; row++) if (drawable(stage.table.get(row, c))) return stage.table.rows > 1 || s.kind === "bars";
        return false;
      }));
      const missing = [];
      if (!inked(stage.still, plot.area)) missing.push("axes");
      if (numbers && !inked(stage.moving, plot.area)) missing.push("series");
      if (plot.view.png && plot.view.png.byteLength && !stage.images.has(plot.view.name)) missing.push("backdrop");
      const [low, high] = plot.y.limits;
      if (plot.bars && !log && (low > 0 || high < 0)) missing.push("the zero that bars stand on");
      const names = plot.view.x.ticks.map((text, value) => ({ text, value })).filter((t) => t.text);
      const gap = names.length > 1 ? (plot.x.at(1) - plot.x.at(0)) / 2 : 0;
      const below = { y: plot.area.y + plot.area.h + 4, w: 5, h: 16 };
      const every = Math.max(1, Math.ceil(names.length / Math.floor(plot.area.w / 42)));
      for (let i = 0; gap && i + every < names.length; i += every) {
        const middle = plot.x.at(names[i].value) + every * gap;
        if (inked(stage.still, { ...below, x: middle - 2.5 })) missing.push(`a space after ${names[i].text}`);
      }
      return { name: plot.view.name, empty: missing.join(" and ") };
    });
  }

  const canvasPrint = (stage) => hash(stage.moving.getContext("2d").getImageData(0, 0, stage.moving.width, stage.moving.height).data);
  async function scrub(cell, place) {
    const stage = stageOf(cell);
    stage.scrub.value = place;
    stage.scrub.dispatchEvent(new Event("input", { bubbles: true }));
    await until(() => Math.abs(stage.place - place) < 0.5 && !stage.dirty.moving, `row ${place} shown`);
    return { ink: canvasPrint(stage), text: stage.stepText.textContent, step: Math.round(stage.table.step(place)) };
  }

  async function speed(cell, value) {
    const select = stageOf(cell).root.querySelector("[data-action=speed]");
    select.value = value;
    select.dispatchEvent(new Event("change", { bubbles: true }));
    return stageOf(cell).speed;
  }

  // Where in the window a share of a view's width and height is, and which values are there.
  function spot(cell, name, across, up) {
    const stage = stageOf(cell);
    const plot = stage.plots.find((p) => p.view.name === name);
    const box = stage.board.getBoundingClientRect();
    const [x, y] = [plot.area.x + across * plot.area.w, plot.area.y + (1 - up) * plot.area.h];
    return { x: box.x + x, y: box.y + y, names: plot.view.pad, values: [plot.x.value(x), plot.y.value(y)] };
  }

  // So slow that a run lasts, but not so slow that a test must wait for every line; and one control a little further on, without waiting for the run.
  async function place(cell, name, choose) {
    const stage = stageOf(cell);
    const node = element(stage, name);
    node.value = choose(Number(node.value), Number(node.max));
    node.dispatchEvent(new Event("input", { bubbles: true }));
    await answer(stage, name);
    return state(cell);
  }
  function slowly(cell) {
    const { positions } = stageOf(cell).model.get("controls").find((control) => control.name === "pace");
    return place(cell, "pace", () => positions.findIndex((pace) => pace >= 5));
  }
  const nudge = (cell, name) => place(cell, name, (here, last) => (here < last ? here + 1 : here - 1));

  async function settle(cell) {
    await rest(stageOf(cell), "what was done");
    return state(cell);
  }

  const shown = () => cells().map((_, cell) => cell).filter((cell) => roots(cell).length);
  return { until, stageOf, settle, state, move, put, press, step, showPanel, scrub, speed, spot, slowly, nudge, shown };
})();
