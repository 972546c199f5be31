// Numbers packed for the way to the page: see packed.py.

async function inflate(deflated) {
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Second differences of rounded float32s, a byte plane at a time, as packed.py lays them out.
function unpackFloats(bytes, { shape: [count, rows, columns], bits }) {
  const drop = 23 - bits;
  const total = count * rows * columns;
  const numbers = new Uint32Array(total);
  for (let column = 0, at = 0; column < count * columns; column++) {
    const first = Math.floor(column / columns) * rows * columns + (column % columns);
    let slope = 0;
    let place = 0;
    for (let row = 0; row < rows; row++, at++) {
      const folded = bytes[at] | (bytes[at + total] << 8) | (bytes[at + 2 * total] << 16) | (bytes[at + 3 * total] << 24);
      slope = (slope + ((folded >>> 1) ^ -(folded & 1))) | 0;
      place = (place + slope) | 0;
      numbers[first + row * columns] = place < 0 ? (-place << drop) | 0x80000000 : place << drop;
    }
  }
  return new DataView(numbers.buffer);
}
