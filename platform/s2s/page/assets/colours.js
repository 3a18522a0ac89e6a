/* Colour scales: tables of 256 colours that are even to the eye, and what is painted with them. */

import { fetchJson } from "./store.js";

let tables = null;

/** Names of the scales as people read them. */
export const SCALES = { viridis: "Viridis", magma: "Magma", grey: "Grey" };

/** Fetch the tables: name -> Uint32Array of 256 opaque colours, ready to be put into a picture. */
export async function loadScales() {
  if (tables) return tables;
  const text = await fetchJson("colours.json");
  tables = Object.fromEntries(Object.entries(text).map(([name, hex]) => [name, parse(hex)]));
  return tables;
}

function parse(hex) {
  const colours = new Uint32Array(256);
  const bytes = new Uint8Array(colours.buffer);
  for (let i = 0; i < 256; i++) {
    for (let part = 0; part < 3; part++) bytes[4 * i + part] = parseInt(hex.slice(6 * i + 2 * part, 6 * i + 2 * part + 2), 16);
    bytes[4 * i + 3] = 255;
  }
  return colours;
}

/** The scale of the uncertainty: never that of the values, so that nobody takes one for the other. */
export function otherScale(name) {
  return name === "magma" ? "viridis" : "magma";
}

/** Paint a tile on a canvas of its own: a pixel per bin, or two per bin with odd rows shifted on a hexagonal grid.
 *  `blank` is the colour of tissue without a value, and of zeros where they mean that nothing was estimated. */
export function paint(tile, colours, [low, high], blank, { isHexagonal, isZeroBlank }) {
  const step = isHexagonal ? 2 : 1;
  const canvas = document.createElement("canvas");
  canvas.width = step * tile.width + (isHexagonal ? 1 : 0);
  canvas.height = tile.height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(picture.data.buffer);
  const scale = high > low ? 255 / (high - low) : 0;
  for (let y = 0; y < tile.height; y++) {
    const shift = isHexagonal ? (tile.y0 + y) & 1 : 0;
    for (let x = 0; x < tile.width; x++) {
      const value = tile.values[y * tile.width + x];
      let colour = 0;
      if (value === 0 && isZeroBlank) colour = blank;
      else if (value === value) colour = colours[Math.max(0, Math.min(255, Math.round((value - low) * scale)))];
      else if (tile.tissue[y * tile.width + x] === tile.tissue[y * tile.width + x]) colour = blank;
      const place = y * canvas.width + step * x + shift;
      pixels[place] = colour;
      if (isHexagonal) pixels[place + 1] = colour;
    }
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** Draw a colour bar from left to right. */
export function paintBar(canvas, colours) {
  canvas.width = 256;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(256, 1);
  new Uint32Array(picture.data.buffer).set(colours);
  context.putImageData(picture, 0, 0);
}

/** A range that holds the values between two percentiles of what is finite; never of no width. */
export function percentileRange(arrays, percent) {
  const known = [];
  const total = arrays.reduce((sum, values) => sum + values.length, 0);
  const step = Math.max(1, Math.floor(total / 200000)); // of millions every few do
  for (const values of arrays) for (let i = 0; i < values.length; i += step) if (Number.isFinite(values[i])) known.push(values[i]);
  if (!known.length) return [0, 1];
  const sorted = Float32Array.from(known).sort();
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const [low, high] = [at(percent / 100), at(1 - percent / 100)];
  return high > low ? [low, high] : [sorted[0], Math.max(sorted.at(-1), sorted[0] + 1e-3)];
}
