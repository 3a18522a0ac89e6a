/* Which tiles are in sight, and where was measured there: an overview always, all bins once they are large enough to be seen. */

const MOST_TILES = 12;
/* Of the fine level, per layer: beyond it the overview has to do. */
const FINE_PIXELS = 0.75;
/* Size of a bin from which the fine level is worth fetching. */

/** What of a section has to be fetched for a view. */
export class Sight {
  constructor(data, view) {
    this.data = data;
    this.view = view;
    this.observed = new Map();
    this.observedAt = () => 0;
  }

  /** Tiles of a layer that are in sight, coarse ones first. */
  async tiles(layer, gene, frame) {
    const coarse = this.data.levels.at(-1);
    const [rows, columns] = await this.data.grid(coarse);
    const wanted = [];
    for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) wanted.push([coarse, row, column]);
    if (coarse > 1) wanted.push(...await this.#fine(frame));
    return Promise.all(wanted.map((place) => this.data.tile(layer, gene, ...place)));
  }

  async #fine(frame) {
    if (frame.scale < FINE_PIXELS) return [];
    const [height, width] = await this.data.tileSize(1);
    const { top, bottom, left, right } = this.view.sight(frame);
    const places = [];
    for (let row = Math.floor(top / height); row * height < bottom; row++) {
      for (let column = Math.floor(left / width); column * width < right; column++) places.push([1, row, column]);
    }
    return places.length <= MOST_TILES ? places : [];
  }

  /** Fetch where was measured; afterwards `observedAt(row, column)` says it of all that was ever in sight. */
  async observe(frame) {
    const [height, width] = await this.data.tileSize(1);
    const places = this.data.levels.length > 1 ? await this.#fine(frame) : [[1, 0, 0]];
    for (const [, row, column] of places) {
      const key = `${row}/${column}`;
      if (!this.observed.has(key)) this.observed.set(key, await this.data.observed(row, column));
    }
    this.observedAt = (row, column) => {
      const tile = this.observed.get(`${Math.floor(row / height)}/${Math.floor(column / width)}`);
      return tile ? tile.values[(row - tile.y0) * tile.width + column - tile.x0] : 0;
    };
  }
}
