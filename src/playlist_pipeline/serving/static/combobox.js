// A text field that finds tracks while one types: the ARIA combobox pattern with a list.

import { get } from "./api.js";
import { announce, count, find, make, makeName, makeTitle } from "./dom.js";

const DELAY = 120;
const LIMIT = 12;

export class Combobox {
  #input = find("search");
  #list = find("found");
  #note = find("search-note");
  #tracks = [];
  #active = -1;
  #timer = 0;
  #pending = null;
  #isCurrent = true; // whether what is shown, be it nothing, belongs to what is typed

  /** `onChoose(track)` takes a found track, `onText(text)` what was entered without choosing one. */
  constructor({ onChoose, onText }) {
    this.onChoose = onChoose;
    this.onText = onText;
    this.#input.addEventListener("input", () => this.#schedule());
    this.#input.addEventListener("keydown", (event) => this.#press(event));
    this.#input.addEventListener("paste", (event) => this.#paste(event));
    this.#input.addEventListener("blur", () => this.#close());
    this.#input.addEventListener("focus", () => this.#schedule());
    this.#list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#take(this.#tracks[Number(option.dataset.index)]);
    });
  }

  clear() {
    this.#input.value = "";
    this.#isCurrent = true;
    this.#note.textContent = "";
    this.#close();
  }

  focus() {
    this.#input.focus();
  }

  #schedule() {
    clearTimeout(this.#timer);
    this.#pending?.abort();
    const text = this.#input.value.trim();
    this.#note.textContent = "";
    this.#isCurrent = !text;
    if (!text) this.#close();
    else this.#timer = setTimeout(() => this.#search(text), DELAY);
  }

  /** Search and show what is found; with `choose`, take the first of it. */
  async #search(text, { choose = false } = {}) {
    clearTimeout(this.#timer);
    this.#pending?.abort();
    this.#pending = new AbortController();
    const { signal } = this.#pending;
    try {
      const { tracks } = await get(`api/search?${new URLSearchParams({ q: text, limit: LIMIT })}`, signal);
      this.#isCurrent = true;
      if (choose && tracks.length) this.#take(tracks[0]);
      else if (choose) this.onText(text);
      else if (document.activeElement === this.#input) this.#show(tracks, text);
    } catch (problem) {
      if (signal.aborted) return;
      this.#close();
      this.#note.textContent = `${problem.what} ${problem.advice ?? ""}`;
      announce(problem.what);
    }
  }

  #show(tracks, text) {
    this.#tracks = tracks;
    if (tracks.length === 0) {
      this.#close();
      this.#note.textContent = `No track is found for “${text}”.`;
      announce(this.#note.textContent);
      return;
    }
    this.#list.replaceChildren(...tracks.map((track, index) => this.#makeOption(track, index)));
    this.#list.hidden = false;
    this.#list.scrollTop = 0;
    this.#input.setAttribute("aria-expanded", "true");
    this.#activate(0);
    announce(`${count(tracks.length, "track")} found. Up and down choose, Enter adds.`);
  }

  #makeOption(track, index) {
    const from = make("small", {}, makeName(track.artist ?? ""), track.album === null ? "" : " · ", makeName(track.album ?? ""));
    const unknown = track.known ? null : make("span", { class: "tag unknown" }, "unknown to the model");
    const attributes = { role: "option", id: `found-${index}`, "data-index": index, "aria-selected": "false" };
    return make("li", attributes, makeTitle(track), " ", unknown ?? "", from);
  }

  #activate(index) {
    this.#list.children[this.#active]?.setAttribute("aria-selected", "false");
    this.#active = index;
    const option = this.#list.children[index];
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    this.#input.setAttribute("aria-activedescendant", option.id);
  }

  #press(event) {
    const isOpen = !this.#list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (isOpen) this.#activate((this.#active + step + this.#tracks.length) % this.#tracks.length);
      else this.#schedule();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const text = this.#input.value.trim();
      if (!this.#isCurrent) this.#search(text, { choose: true });
      else if (isOpen) this.#take(this.#tracks[this.#active]);
      else if (text) this.onText(text);
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (isOpen) this.#close();
      else this.clear();
    }
  }

  #paste(event) {
    const text = event.clipboardData.getData("text");
    if (!text.trim().includes("\n")) return;
    event.preventDefault();
    this.onText(text);
  }

  #take(track) {
    this.clear();
    this.onChoose(track);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#pending?.abort();
    this.#list.hidden = true;
    this.#list.replaceChildren();
    this.#tracks = [];
    this.#active = -1;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
  }

  refuse(text) {
    this.#note.textContent = text;
  }
}
