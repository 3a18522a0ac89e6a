/* Elements made from words: never from HTML, so that no name of a gene or a section can become code. */

/** Make an element: `h("p.note", {title: "..."}, "text", child)`. Keys that start with "on" are listeners. */
export function h(what, options = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.classList.add(...classes);
  for (const [key, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && !key.startsWith("aria") && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A number with thin groups of thousands. */
export function grouped(value) {
  return value.toLocaleString("en-GB");
}

/** A value of expression: two digits are what its storage holds for sure. */
export function figure(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return value.toFixed(2);
}

/** "1 section", "2 sections". */
export function many(count, word) {
  return `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;
}

/** Bytes as people say them. */
export function size(bytes) {
  const unit = bytes < 1e6 ? ["kB", 1e3] : bytes < 1e9 ? ["MB", 1e6] : ["GB", 1e9];
  return `${(bytes / unit[1]).toFixed(bytes / unit[1] < 10 ? 1 : 0)} ${unit[0]}`;
}

/** What became of something that failed, with a way on. */
export function notice(text, action, onAction) {
  return h("div.notice", { role: "alert" }, h("p", {}, text), action && h("button", { type: "button", onclick: onAction }, action));
}

/** Call `work` once, a little after the last of many calls. */
export function afterwards(work, ms) {
  let timer = null;
  return (...words) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...words), ms);
  };
}
