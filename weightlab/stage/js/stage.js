// The stage: one picture, its playback, and the wire to the kernel.

import { arrangeViews, drawMoving, drawStill, showLegend } from "./board.js";
import { UNANSWERED, showSilence, watchKernel } from "./connection.js";
import { buildControls } from "./controls.js";
import { keepFocus, make } from "./elements.js";
import { Fans } from "./fan.js";
import { Home } from "./home.js";
import { grabPad, showValues } from "./pointer.js";
import { asBytes, asFloats, decodePicture } from "./pure/table.js";
import { showTexts } from "./side.js";
import { handleKey, showTransport } from "./transport.js";
import { speak, wordsOf } from "./words.js";

const FULL_RUN_SECONDS = 6;
const SILENCE_MS = 4000;
const REST_MS = 150; // a hand that holds still so long gets the kernel's own answer
const MOST_UNANSWERED = 3;

export class StageView {
  constructor(model, root) {
    this.model = model;
    this.root = root;
    this.place = 0; // row, between rows while moving
    this.playing = false;
    this.following = false;
    this.speed = 1;
    this.pending = {}; // set by hand, not yet sent
    this.local = new Map(); // name -> value and the message that carried it, until the kernel has answered that one
    this.seq = 0;
    this.cutOff = ""; // why the panel has no kernel any more
    this.late = false; // an answer has not come for a while
    this.sentAt = new Map();
    this.images = new Map();
    this.rasters = new Map();
    this.dirty = { still: true, moving: true, all: true };
    this.stats = { pictures: 0, frames: 0, rows: 0, messages: 0, latencies: [], fans: 0, seqShown: 0, run: 0 };
    this.fans = new Fans(this);
    this.fanShown = null; // the position of a fan that is on the stage, until the kernel has answered
    this.build();
    Object.assign(this, decodePicture(this.model.get("picture")));
    this.takeScene();
    this.takePicture();
    showTexts(this);
    this.listen();
    this.frame = requestAnimationFrame((now) => this.tick(now));
    this.model.send({ type: "hello" });
    root.weightlab = this; // for the console and the browser tests
  }

  build() {
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.legend = make("div", { class: "wl-legend" });
    this.still = make("canvas", { class: "wl-still", "aria-hidden": "true" });
    this.moving = make("canvas", { class: "wl-moving", role: "img" });
    this.board = make("div", { class: "wl-board" }, this.still, this.moving);
    this.tip = make("div", { class: "wl-tip", hidden: true });
    this.board.append(this.tip);
    this.transport = make("div", { class: "wl-transport", role: "group", "aria-label": "run and playback" });
    this.notice = make("p", { class: "wl-notice", role: "alert", hidden: true });
    this.silence = make("p", { class: "wl-notice wl-silence", role: "alert", hidden: true, text: UNANSWERED });
    this.controlsBox = make("div", { class: "wl-left" });
    this.questionsBox = make("div", { class: "wl-questions", hidden: true });
    this.readingBox = make("div", { tabindex: -1 });
    this.sideBox = make("div", { class: "wl-right" }, this.questionsBox, this.readingBox);
    this.summary = make("p", { class: "wl-summary" });
    this.spoken = make("div", { class: "wl-spoken", role: "status", text: wordsOf(this) });
    this.pinned = make("div", { class: "wl-pinned" }, this.legend, this.board, this.notice, this.silence);
    this.root.append(make("div", { class: "wl-main" }, this.pinned, this.transport,
      make("div", { class: "wl-below" }, this.controlsBox, this.sideBox)), this.summary, this.spoken);
    this.home = new Home(this);
    if (this.model.get("home")) this.root.append(this.home.node);
    this.root.tabIndex = 0;
    this.root.setAttribute("data-lm-suppress-shortcuts", "true");
    this.root.setAttribute("aria-label", `${this.model.get("title")}; space plays, arrow keys step, Home and End jump, Escape leaves`);
    this.root.setAttribute("role", "group");
  }

  listen() {
    const on = (name, action) => this.model.on(name, action, this);
    on("change:scene", () => this.takeScene());
    on("change:picture", () => this.takePicture());
    on("change:controls", () => this.takeControls());
    on("change:values", () => this.controls.update(this.values()));
    on("change:summary", () => { this.dirty.moving = true; });
    on("change:unused", () => this.controls.markUnused(this.model.get("unused")));
    on("change:transport", () => showTransport(this));
    for (const name of ["reading", "questions", "notice"]) on(`change:${name}`, () => showTexts(this));
    on("msg:custom", (message, buffers) => this.takeMessage(message, buffers));
    this.root.addEventListener("keydown", (event) => handleKey(this, event));
    this.resizer = new ResizeObserver(() => this.redrawAll());
    this.resizer.observe(this.board);
    this.themeWatch = new MutationObserver(() => this.redrawAll());
    this.themeWatch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
    this.moving.addEventListener("pointerdown", (event) => grabPad(this, event));
    this.moving.addEventListener("pointermove", (event) => showValues(this, event));
    this.moving.addEventListener("pointerleave", () => { this.tip.hidden = true; });
  }

  close() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.silenceTimer);
    this.resizer.disconnect();
    this.themeWatch.disconnect();
    this.model.off(null, null, this);
  }

  // ---- what the kernel says -------------------------------------------------------------------------------------

  takeScene() {
    this.scene = { views: [], widths: [1], heights: [1], height: 440, ...this.model.get("scene") };
    this.images.clear();
    for (const view of this.scene.views) {
      if (!view.png || !view.png.byteLength) continue;
      createImageBitmap(new Blob([view.png], { type: "image/png" })).then((bitmap) => {
        this.images.set(view.name, bitmap);
        this.redrawAll();
      });
    }
    arrangeViews(this);
    this.takeControls();
    showTransport(this);
    this.redrawAll();
  }

  takePicture() {
    const raw = this.model.get("picture") || {};
    if (this.fanShown && !(raw.seq >= this.fanShown.seq)) return; // older than what the hand has done since
    this.leaveFan();
    const { picture, table } = decodePicture(raw);
    this.picture = picture;
    this.swapTable(table);
    this.rasters = new Map((raw.rasters || []).map((raster) => [raster.view, { ...raster, bytes: asBytes(raster.data) }]));
    this.stats.run = this.picture.run ?? 0;
    this.following = Boolean(this.picture.follow);
    this.answered(this.picture.seq);
    showLegend(this);
  }

  // Another run takes the place of the one shown; who stands at its end stays at the end, who is midway keeps the share.
  swapTable(table) {
    const before = this.stats.pictures ? this.table.rows - 1 : 0;
    const atEnd = this.place >= before - 1e-6;
    const share = before > 0 ? this.place / before : 1;
    const end = Math.max(0, table.rows - 1);
    this.table = table;
    this.place = (this.playing || !atEnd) && !this.toEnd ? Math.min(end, share * end) : end;
    this.toEnd = false;
    this.stats.rows = table.rows;
    this.fresh = true;
    Object.assign(this.dirty, { still: true, moving: true });
  }

  showFan(name, picture) {
    const first = !this.fanShown;
    this.fanShown = { name, picture, seq: Infinity };
    this.restAt = performance.now() + REST_MS;
    this.arrived = this.arrived || { sent: performance.now() };
    this.stats.fans += 1;
    this.swapTable(picture.table);
    if (picture.picture) { this.picture = picture.picture; showLegend(this); }
    if (first || picture.told) showTexts(this);
    this.root.classList.toggle("wl-old", !picture.told);
  }

  leaveFan() {
    if (!this.fanShown) return;
    this.fanShown = null;
    this.root.classList.remove("wl-old");
    showTexts(this);
  }

  takeMessage(message, buffers) {
    if (message.type === "rows") {
      if (message.run !== this.picture.run || !this.table || message.columns !== this.table.columns) return;
      const skip = this.table.rows - message.from;
      if (skip < 0) { this.model.send({ type: "hello" }); return; }
      const steps = asFloats(buffers[1]);
      if (skip >= steps.length) return;
      const atEnd = !this.playing && this.place >= this.table.rows - 1 - 0.5;
      this.table.append(asFloats(buffers[0]).subarray(skip * message.columns), steps.subarray(skip));
      this.stats.rows = this.table.rows;
      this.stats.messages += 1;
      this.following = this.following || atEnd;
      this.limitsStale = true;
      this.dirty.moving = true;
    }
    if (message.type === "raster" && message.run === this.picture.run) {
      this.rasters.set(message.view, { ...message, bytes: asBytes(buffers[0]) });
      this.dirty.moving = true;
    }
    if (message.type === "fan" || message.type === "fan_words") this.fans.take(message, buffers);
    if (message.type === "home" || message.type === "page") this.home.take(message, buffers);
    if (message.type === "ack") this.answered(message.seq);
  }

  answered(seq) {
    if (seq === undefined || seq === null) return;
    if (this.sentAt.has(seq)) this.arrived = { seq, sent: this.sentAt.get(seq) };
    for (const key of [...this.sentAt.keys()]) if (key <= seq) this.sentAt.delete(key);
    for (const [name, entry] of [...this.local]) if (entry.seq <= seq) this.local.delete(name);
    if (this.fanShown && this.fanShown.seq <= seq) { this.leaveFan(); this.takePicture(); } // refused: the last good picture
    this.controls.update(this.values());
    this.stats.seqShown = Math.max(this.stats.seqShown, seq);
    if (!this.sentAt.size) { clearTimeout(this.silenceTimer); this.silenceTimer = null; this.late = false; showSilence(this); }
    this.fans.settled(seq);
  }

  takeControls() {
    if (this.controls && JSON.stringify(this.model.get("controls")) === this.controlsText) return;
    this.controlsText = JSON.stringify(this.model.get("controls"));
    this.controls = buildControls(this.model.get("controls"), (name, value) => this.set(name, value),
      (name, released) => { if (released) this.restAt = 0; else this.fans.want(name); });
    this.chosen = Object.fromEntries(this.model.get("controls").filter((c) => c.kind === "choice").map((c) => [c.name, true]));
    this.controls.update(this.values());
    this.controls.markUnused(this.model.get("unused"));
    keepFocus(this.controlsBox, () => this.controlsBox.replaceChildren(this.controls.node), () => this.root);
  }

  // ---- what the learner does ------------------------------------------------------------------------------------

  set(name, value) {
    this.pending[name] = value;
    this.local.set(name, { value, seq: Infinity });
    const found = this.fans.picture(name, value);
    if (found) this.showFan(name, found);
    else this.restAt = 0; // the kernel must answer
  }

  // What has been set: the kernel's values, but the learner's own where the kernel has not answered yet.
  settings() {
    const values = { ...this.model.get("values") };
    for (const [name, entry] of this.local) if (typeof entry.value !== "string" || name in this.chosen) values[name] = entry.value;
    return values;
  }

  // What the controls show: besides, what moves along with a slider.
  values() { return this.fanShown ? { ...this.settings(), ...this.fanShown.picture.along } : this.settings(); }

  flush(now) {
    if (!Object.keys(this.pending).length) return;
    if (this.fanShown && this.fanShown.seq === Infinity && now < this.restAt) return;
    if (this.sentAt.size >= MOST_UNANSWERED) return; // a slow link or kernel: the newest goes when an answer has come
    const values = this.pending;
    this.pending = {};
    this.send({ type: "set", values });
    for (const name of Object.keys(values)) this.local.get(name).seq = this.seq;
    if (this.fanShown) this.fanShown.seq = this.seq;
  }

  send(message) {
    this.seq += 1;
    this.sentAt.set(this.seq, performance.now());
    if (!this.silenceTimer) this.silenceTimer = setTimeout(() => { this.late = true; showSilence(this); }, SILENCE_MS);
    try {
      this.model.send({ ...message, seq: this.seq });
    } catch {
      this.late = true; // the connection is closed for good: the kernel was restarted
      showSilence(this);
    }
  }

  command(name) { this.send({ type: "command", name }); }

  branch() {
    this.playing = false;
    this.toEnd = this.model.get("transport").live; // a live run stands where it branches
    this.send({ type: "branch", step: Math.round(this.table.step(this.place)) });
  }

  togglePlay() {
    const end = this.table.rows - 1;
    if (!this.playing && this.place >= end - 1e-6) this.place = 0;
    this.playing = !this.playing;
    this.following = false;
    this.dirty.moving = true;
  }

  nudge(by) { this.playing = false; this.jump(Math.round(this.place) + by); }

  jump(row) {
    const end = Math.max(0, this.table.rows - 1);
    this.place = Math.min(end, Math.max(0, row));
    this.following = this.model.get("transport").live && this.place >= end;
    this.dirty.moving = true;
  }

  // ---- time -----------------------------------------------------------------------------------------------------

  tick(now) {
    this.frame = requestAnimationFrame((next) => this.tick(next));
    const passed = Math.min(0.1, (now - (this.last || now)) / 1000);
    this.last = now;
    this.flush(now);
    const end = Math.max(0, this.table.rows - 1);
    const before = this.place;
    if (this.following) this.place += (end - this.place) * (this.calm.matches ? 1 : Math.min(1, passed / 0.05));
    if (this.following && end - this.place < 0.02) this.place = end;
    if (this.playing) {
      this.place = Math.min(end, this.place + (passed * this.speed * end) / FULL_RUN_SECONDS);
      if (this.place >= end) this.playing = false;
      this.dirty.moving = true;
    }
    if (this.place !== before) this.dirty.moving = true;
    if (this.limitsStale && now - (this.limitsAt || 0) > 200) {
      this.limitsStale = false;
      this.limitsAt = now;
      this.dirty.still = true;
    }
    if (this.dirty.still) drawStill(this);
    if (this.dirty.moving) drawMoving(this);
    speak(this, now);
    watchKernel(this, now);
  }

  redrawAll() { Object.assign(this.dirty, { still: true, moving: true, all: true }); }
}
