// Numbers and messages packed for the way to the page: see packed.py.

export async function inflate(deflated) {
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Second differences of rounded float32s, a byte plane at a time, as packed.py lays them out.
export function unpackFloats(bytes, { shape: [count, rows, columns], bits }) {
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
  return new Float32Array(numbers.buffer);
}

// The message with what was packed in the place of what stands for it.
function unpack(node, blocks) {
  if (Array.isArray(node)) return node.map((part) => unpack(part, blocks));
  if (node === null || typeof node !== "object") return node;
  if (!node.packed) return Object.fromEntries(Object.entries(node).map(([name, part]) => [name, unpack(part, blocks)]));
  const bytes = blocks.subarray(node.packed[0], node.packed[0] + node.packed[1]);
  return node.shape ? unpackFloats(bytes, node) : new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// A whole replay's message, from the text that packed.py's Pack makes.
export async function readReplay(text) {
  const whole = await inflate(Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0)));
  const head = new DataView(whole.buffer).getUint32(0, true);
  return unpack(JSON.parse(new TextDecoder().decode(whole.subarray(4, 4 + head))), whole.subarray(4 + head));
}
