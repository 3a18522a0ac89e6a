/* Files of the page, fetched once each: bytes, JSON, gzip. Every failure becomes a LoadError that says what to do. */

/** What could not be loaded. `kind`: dead (no answer), missing (404), refused (another status), damaged. */
export class LoadError extends Error {
  constructor(kind, path, detail) {
    super(WORDS[kind](path, detail));
    failed.add(path);
    this.name = "LoadError";
    this.kind = kind;
    this.path = path;
  }
}

const WORDS = {
  dead: () => "The server does not answer. Is it still running, and are you online?",
  missing: (path) => `A part of this page is missing on the server: ${path}. Was it copied whole?`,
  refused: (path, detail) => `The server refused ${path} (status ${detail}).`,
  damaged: (path, detail) => `A part of this page is damaged: ${path} (${detail}). Was it copied whole?`,
};

/** What failed before is fetched past the browser's own cache: it may hold the damaged file. */
const failed = new Set();

/** Fetch a file as an ArrayBuffer; gzip that the server did not undo is undone here. */
export async function fetchBytes(path) {
  const buffer = await fetchRaw(path, failed.delete(path) ? "reload" : "default");
  // Some hosts call a .gz file "Content-Encoding: gzip" and browsers undo that: the first two bytes tell.
  const start = new Uint8Array(buffer, 0, Math.min(2, buffer.byteLength));
  return start[0] === 0x1f && start[1] === 0x8b ? gunzip(buffer, path) : buffer;
}

async function fetchRaw(path, cache) {
  let response;
  try {
    response = await fetch(path, { cache });
    if (response.ok) return await response.arrayBuffer();
  } catch (error) {
    throw new LoadError("dead", path, error.message);
  }
  throw response.status === 404 || response.status === 403 ? new LoadError("missing", path) : new LoadError("refused", path, response.status);
}

/** Fetch JSON, gzipped or not. */
export async function fetchJson(path) {
  const buffer = await fetchBytes(path);
  try {
    return JSON.parse(new TextDecoder().decode(buffer));
  } catch (error) {
    throw new LoadError("damaged", path, error.message);
  }
}

async function gunzip(buffer, path) {
  try {
    const stream = new Blob([buffer]).stream().pipeThrough(new DecompressionStream("gzip"));
    return await new Response(stream).arrayBuffer();
  } catch (error) {
    throw new LoadError("damaged", path, error.message);
  }
}

/** Values by key, the least recently used dropped when they weigh too much; what is on its way is asked for once. */
export class Cache {
  constructor(maxBytes) {
    this.maxBytes = maxBytes;
    this.bytes = 0;
    this.entries = new Map();
    this.pending = new Map();
  }

  /** Give the value of `key`, made by `load` (async, gives {value, bytes}) if it is not there. A failure is not kept. */
  get(key, load) {
    const held = this.entries.get(key);
    if (held) {
      this.entries.delete(key);
      this.entries.set(key, held);
      return Promise.resolve(held.value);
    }
    if (!this.pending.has(key)) {
      this.pending.set(key, load().then((made) => this.#keep(key, made)).finally(() => this.pending.delete(key)));
    }
    return this.pending.get(key);
  }

  #keep(key, made) {
    this.entries.set(key, made);
    this.bytes += made.bytes;
    for (const [old, entry] of this.entries) {
      if (this.bytes <= this.maxBytes || old === key) break;
      this.entries.delete(old);
      this.bytes -= entry.bytes;
    }
    return made.value;
  }
}
