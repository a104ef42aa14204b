// The controls: bounds and defaults are the server's.

import { find } from "./dom.js";

const readLines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** How each kind of field is read and written. */
function kindOf(field, fallback) {
  if (field.type === "checkbox") return { read: () => field.checked, write: (value) => (field.checked = value) };
  if (Array.isArray(fallback)) return { read: () => readLines(field.value), write: (value) => (field.value = value.join("\n")) };
  if (field.type !== "number") return { read: () => field.value, write: (value) => (field.value = value) };
  return { read: () => (field.value === "" ? null : field.valueAsNumber), write: (value) => (field.value = value ?? "") };
}

export class Controls {
  #kinds = {};
  #defaults = {};
  #seed = find("seed");

  /** `bounds` is the part `controls` of /api/info; `onChange()` is called after each change by hand. */
  constructor({ bounds, maxSeed, onChange }) {
    for (const [name, { default: fallback, minimum, maximum }] of Object.entries(bounds)) {
      const field = find(name);
      if (minimum !== null) field.min = minimum;
      if (maximum !== null) field.max = maximum;
      this.#kinds[name] = kindOf(field, fallback);
      this.#defaults[name] = fallback;
    }
    this.#seed.min = 0;
    this.#seed.max = maxSeed;
    this.#seed.value = 0;
    this.values = this.#defaults;
    find("controls").addEventListener("input", onChange);
    find("reset").addEventListener("click", () => {
      this.values = this.#defaults;
      this.seed = 0;
      onChange();
    });
  }

  get values() {
    return Object.fromEntries(Object.entries(this.#kinds).map(([name, kind]) => [name, kind.read()]));
  }

  set values(values) {
    for (const [name, kind] of Object.entries(this.#kinds)) kind.write(values[name] ?? this.#defaults[name]);
  }

  get seed() {
    return this.#seed.valueAsNumber;
  }

  set seed(value) {
    this.#seed.value = value;
  }

  get maxSeed() {
    return Number(this.#seed.max);
  }

  /** Return whether all values are allowed; if not, the browser shows the first that is not. */
  check() {
    const wrong = find("controls").querySelector(":invalid:not(fieldset)");
    wrong?.closest("details")?.setAttribute("open", "");
    return wrong === null || wrong.reportValidity();
  }
}
