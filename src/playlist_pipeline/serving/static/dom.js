// Elements from text: names of tracks reach the page as text nodes only, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

/** Make an element; `attributes` with the value null or false are left out, functions become listeners. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Make a name's element: its direction is its own, whatever stands around it. */
export const makeName = (text, tag = "bdi", attributes = {}) => make(tag, { dir: "auto", ...attributes }, text);

export function makeIcon(name) {
  const icon = document.createElementNS(SVG, "svg");
  icon.setAttribute("class", "glyph");
  icon.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  icon.append(use);
  return icon;
}

export function makeIconButton(icon, label, attributes = {}) {
  return make("button", { type: "button", class: "icon", "aria-label": label, title: label, ...attributes }, makeIcon(icon));
}

/** Give a track's title, or its URI where no catalog knows it. */
export const titleOf = (track) => track.name ?? track.uri;

/** Make the element of a track's title. */
export const makeTitle = (track) => makeName(titleOf(track), "bdi", { class: track.name === null ? "nameless" : null });

/** Give a track in one line, for labels and announcements. */
export const describe = (track) => (track.artist === null ? titleOf(track) : `${titleOf(track)} by ${track.artist}`);

export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

/** Say something to screen readers; saying the same again is heard again. */
export function announce(text) {
  const status = find("status");
  status.textContent = status.textContent === text ? `${text}\u00a0` : text;
}
