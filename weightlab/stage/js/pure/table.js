// The run's table, and the buffers that the kernel sends.

// Float32Array over `numbers`, or one that holds them and has room for so many.
function withRoom(numbers, size) {
  if (size <= numbers.length) return numbers;
  const grown = new Float32Array(Math.max(size, 2 * numbers.length));
  grown.set(numbers);
  return grown;
}

// One row a step. Grows as rows arrive; reading between two rows interpolates.
class Table {
  constructor(columns, data, steps) { Object.assign(this, { columns, data, steps, rows: steps.length }); }

  append(rows, steps) {
    const count = this.rows + steps.length;
    this.data = withRoom(this.data, count * this.columns);
    this.steps = withRoom(this.steps, count);
    this.data.set(rows, this.rows * this.columns);
    this.steps.set(steps, this.rows);
    this.rows = count;
  }

  get(row, column) { return this.data[row * this.columns + column]; }

  at(place, column) {
    if (!this.rows) return NaN;
    const clamped = Math.min(Math.max(place, 0), this.rows - 1);
    const row = Math.floor(clamped);
    const a = this.get(row, column);
    if (row === clamped) return a;
    const b = this.get(row + 1, column);
    return Number.isNaN(b) ? a : a + (b - a) * (clamped - row);
  }

  step(place) {
    if (!this.rows) return 0;
    const row = Math.min(Math.max(Math.floor(place), 0), this.rows - 1);
    const next = Math.min(row + 1, this.rows - 1);
    return this.steps[row] + (this.steps[next] - this.steps[row]) * Math.min(1, Math.max(0, place - row));
  }

  // The last row whose step is not after this one.
  rowOf(step) {
    let row = 0;
    while (row < this.rows - 1 && this.steps[row + 1] <= step) row++;
    return row;
  }

  // Where a line that is drawn up to `place` ends: before a gap, at the last row with a number.
  end(place, column) {
    if (Number.isFinite(this.at(place, column))) return place;
    let row = Math.floor(Math.min(place, this.rows - 1));
    while (row > 0 && !Number.isFinite(this.get(row, column))) row--;
    return row;
  }

  // Every how many rows to look, so that it is not much more than `most` of them.
  stride(most) { return Math.max(1, Math.floor(this.rows / most)); }
}

// A buffer need not begin where a Float32Array may: its numbers are copied, once.
export function asFloats(view) {
  if (view instanceof Float32Array) return view;
  if (!view || !view.byteLength) return new Float32Array(0);
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

export function asBytes(view) {
  return new Uint8Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

// What the kernel publishes of a picture, as the picture and its table.
export function decodePicture(given) {
  const raw = given || {};
  const points = asFloats(raw.reference_points);
  const references = (raw.references || []).map((reference) => {
    const own = points.subarray(2 * reference.offset, 2 * (reference.offset + reference.count));
    const every = (first) => Array.from(own).filter((_, i) => i % 2 === first);
    return { ...reference, xs: every(0), ys: every(1) };
  });
  const table = new Table(raw.columns || 0, asFloats(raw.table), asFloats(raw.steps));
  return { picture: { series: [], groups: [], ...raw, references }, table };
}

// The picture at a fan's position number i, as far as it differs from the one on the stage (weightlab/stage/fan.py).
export function fanPicture(message, buffers, i) {
  if (message.whole) {
    const { views, reading, summary, ...picture } = message.whole[i];
    const [table, steps, reference_points] = buffers.slice(3 * i, 3 * i + 3);
    return { picture: { ...picture, table, steps, reference_points }, views, reading, summary, along: {} };
  }
  const [tables, steps, bowls] = buffers;
  const part = (numbers) => {
    const size = numbers.length / message.positions.length;
    return numbers.subarray(i * size, (i + 1) * size);
  };
  const rows = message.rows[i];
  const table = (message.lone ? tables : part(tables)).subarray(0, rows * message.columns);
  return {
    picture: { columns: message.columns, table, steps: steps.subarray(0, rows) },
    bowl: bowls.length ? Array.from(part(bowls)) : null, along: message.along[i] || {},
  };
}
