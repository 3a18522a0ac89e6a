/* Zarr v3 arrays read chunk by chunk: little-endian values, gzip or none. No library: a browser has all that is needed. */

import { Cache, LoadError, fetchBytes, fetchJson } from "./store.js";

const chunks = new Cache(192 * 2 ** 20);

/** float16 -> float32 of every bit pattern; made when first needed (a millisecond). */
let halves = null;

function halfTable() {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) halves[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) halves[bits] = fraction ? NaN : sign * Infinity;
    else halves[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return halves;
}

/** Decode the bytes of a chunk. */
export function decode(buffer, type, path) {
  const sizes = { float16: 2, float32: 4, bool: 1, uint8: 1 };
  if (!(type in sizes)) throw new LoadError("damaged", path, `values of type ${type}`);
  if (buffer.byteLength % sizes[type]) throw new LoadError("damaged", path, `${buffer.byteLength} bytes`);
  if (type === "float32") return new Float32Array(buffer);
  if (type !== "float16") return new Uint8Array(buffer);
  const bits = new Uint16Array(buffer);
  const table = halfTable();
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]];
  return values;
}

/** An array whose metadata has been read. */
export class ZarrArray {
  constructor(path, meta) {
    this.path = path;
    this.shape = meta.shape;
    this.chunk = meta.chunk_grid.configuration.chunk_shape;
    this.type = meta.data_type;
    const names = meta.codecs.map((codec) => codec.name).join("+");
    if (!["bytes", "bytes+gzip"].includes(names)) throw new LoadError("damaged", path, `codecs ${names}`);
  }

  /** Open the array at a path. */
  static async open(path) {
    const meta = await fetchJson(`${path}/zarr.json`);
    if (meta.node_type !== "array") throw new LoadError("damaged", path, "no array");
    return new ZarrArray(path, meta);
  }

  /** Values of one chunk, whole: chunks at the edge are padded. `place` has one index per axis. */
  read(place) {
    const path = `${this.path}/c/${place.join("/")}`;
    return chunks.get(path, async () => {
      const values = decode(await fetchBytes(path), this.type, path);
      const expected = this.chunk.reduce((product, length) => product * length, 1);
      if (values.length !== expected) throw new LoadError("damaged", path, `${values.length} values instead of ${expected}`);
      return { value: values, bytes: values.byteLength };
    });
  }

  /** One tile of one gene's plane: {values, y0, x0, height, width}, cut to the array. */
  async tile(gene, row, column) {
    const [depth, height, width] = this.chunk;
    const values = await this.read([Math.floor(gene / depth), row, column]);
    const plane = values.subarray((gene % depth) * height * width, ((gene % depth) + 1) * height * width);
    return cut(plane, this.shape.slice(1), [height, width], row, column);
  }

  /** Rows and columns of tiles. */
  get grid() {
    return [Math.ceil(this.shape.at(-2) / this.chunk.at(-2)), Math.ceil(this.shape.at(-1) / this.chunk.at(-1))];
  }
}

/** Cut the padding of a chunk at the edge of a plane off. */
export function cut(plane, shape, chunk, row, column) {
  const y0 = row * chunk[0];
  const x0 = column * chunk[1];
  const height = Math.min(chunk[0], shape[0] - y0);
  const width = Math.min(chunk[1], shape[1] - x0);
  if (width === chunk[1]) return { values: plane.subarray(0, height * width), y0, x0, height, width };
  const values = new plane.constructor(height * width);
  for (let y = 0; y < height; y++) values.set(plane.subarray(y * chunk[1], y * chunk[1] + width), y * width);
  return { values, y0, x0, height, width };
}
