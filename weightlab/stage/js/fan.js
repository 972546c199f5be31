// Fans: the picture at every position of a slider, fetched when the hand is over it, so that a drag asks nobody.

import { inflate, unpackFloats } from "./pure/packed.js";
import { nearestPosition } from "./pure/scales.js";
import { asFloats, decodePicture, fanPicture } from "./pure/table.js";
import { showTexts } from "./side.js";

const MOST_FANS = 3; // kept at a time, the newest
const ASK_AGAIN_MS = 4000;
const NEAR = 33; // positions fetched where each one costs the kernel a computation of its own

export class Fans {
  constructor(stage) {
    this.stage = stage;
    this.kept = new Map();
    this.asked = null;
    this.chunk = 16; // positions asked for at once; follows how fast they come
  }

  // The fan of this slider, if it belongs to how the others stand now.
  current(name) {
    const fan = this.kept.get(name);
    if (!fan) return null;
    const values = this.stage.settings();
    return Object.keys(fan.values).every((other) => fan.values[other] === values[other]) ? fan : null;
  }

  picture(name, value) {
    const fan = this.current(name);
    return fan ? fan.pictures.get(value) || null : null;
  }

  // The hand is over this slider, or has come to rest on it.
  want(name) {
    this.wanted = name;
    const control = this.stage.model.get("controls").find((c) => c.name === name);
    if (!control || control.kind !== "slider" || this.stage.local.size || this.stage.model.get("transport").live) return;
    const now = performance.now();
    if (this.asked && now - this.asked.at < ASK_AGAIN_MS) return;
    const fan = this.current(name);
    if (fan && fan.none) return;
    const here = nearestPosition(control.positions, this.stage.settings()[name]);
    const order = control.positions.map((_, i) => i).sort((a, b) => Math.abs(a - here) - Math.abs(b - here)).map((i) => control.positions[i]);
    const near = fan && fan.costly ? order.slice(0, NEAR) : order;
    const unseen = near.filter((p) => !fan || !fan.tried.has(p));
    const unread = unseen.length ? [] : order.filter((p) => fan.pictures.has(p) && !fan.pictures.get(p).told);
    const positions = (unseen.length ? unseen : unread).slice(0, this.chunk);
    if (!positions.length) return;
    this.asked = { name, at: now, positions, seq: this.stage.seq };
    try {
      this.stage.model.send({ type: "fan", name, positions, words: !unseen.length });
    } catch { /* the connection is closed: what the learner does next says so */ }
  }

  // The kernel leaves a request aside when newer settings wait; once those are answered it is gone.
  settled(seq) {
    if (this.asked && seq > this.asked.seq) this.asked = null;
    if (this.wanted) this.want(this.wanted);
  }

  take(message, buffers) {
    if (!message.packed) { this.taken(message, buffers); return; }
    inflate(buffers[0]).then((bytes) => this.taken(message, [unpackFloats(bytes, message.packed), ...buffers.slice(1)]));
  }

  taken(message, buffers) {
    const asked = this.asked && this.asked.name === message.name ? this.asked : null;
    if (asked) {
      const waited = performance.now() - asked.at;
      this.chunk = waited < 150 ? Math.min(128, this.chunk * 2) : waited > 500 ? Math.max(4, this.chunk >> 1) : this.chunk;
      this.asked = null;
    }
    let fan = this.kept.get(message.name);
    if (!fan || JSON.stringify(fan.values) !== JSON.stringify(message.values)) fan = { values: message.values, pictures: new Map(), tried: new Set() };
    this.kept.delete(message.name); // and to the end: the newest
    this.kept.set(message.name, fan);
    while (this.kept.size > MOST_FANS) this.kept.delete(this.kept.keys().next().value);
    if (message.none) fan.none = true;
    else if (message.type === "fan") this.takePictures(fan, message, buffers);
    else message.positions.forEach((p, i) => {
      Object.assign(fan.pictures.get(p) || {}, { told: true, reading: message.readings[i], summary: message.summaries[i] });
    });
    const shown = this.stage.fanShown;
    if (shown && shown.picture.told && message.type === "fan_words") showTexts(this.stage);
    this.want(this.wanted);
  }

  // Whole pictures differ in more than their tables (axes, bars, theory's marks) and come with their words.
  takePictures(fan, message, buffers) {
    const numbers = buffers.map(asFloats);
    const whole = Boolean(message.whole);
    fan.costly = fan.costly || whole;
    message.tried.forEach((p) => fan.tried.add(p));
    message.positions.forEach((position, i) => {
      const found = fanPicture(message, numbers, i);
      const { picture, table } = decodePicture(found.picture);
      fan.pictures.set(position, { ...found, picture: whole ? picture : null, table, told: whole });
    });
  }
}
