// The list of seeds: add, reorder, remove.

import { announce, count, describe, find, make, makeIcon, makeIconButton, makeName, makeTitle, titleOf } from "./dom.js";

export class SeedList {
  #list = find("seeds");
  #tracks = [];
  #dragged = null;

  /** `onChange()` is called after each change, `onEmpty()` when the last seed is removed by hand. */
  constructor({ onChange, onEmpty, limit }) {
    this.onChange = onChange;
    this.onEmpty = onEmpty;
    this.limit = limit;
    find("clear").addEventListener("click", () => {
      this.replace([]);
      announce("All seeds are removed.");
      this.onEmpty();
    });
    this.#list.addEventListener("keydown", (event) => this.#press(event));
  }

  get tracks() {
    return [...this.#tracks];
  }

  replace(tracks) {
    this.#tracks = tracks;
    this.#render();
  }

  /** Add tracks that are not there yet; give how many were, and how many did not fit. */
  add(tracks) {
    const known = new Set(this.#tracks.map((track) => track.uri));
    const fresh = tracks.filter((track) => !known.has(track.uri) && known.add(track.uri));
    const added = fresh.slice(0, Math.max(this.limit - this.#tracks.length, 0));
    this.#tracks.push(...added);
    this.#render();
    return { added: added.length, repeated: tracks.length - fresh.length, left: fresh.length - added.length };
  }

  #render() {
    this.#list.replaceChildren(...this.#tracks.map((track, index) => this.#makeRow(track, index)));
    const number = this.#tracks.length;
    find("no-seeds").hidden = number > 0;
    find("clear").hidden = number === 0;
    find("seed-count").textContent = number ? count(number, "track") : "";
    this.onChange();
  }

  #makeRow(track, index) {
    const title = titleOf(track);
    const names = make(
      "div",
      { class: "names" },
      make("span", { class: "title" }, makeTitle(track), track.known ? null : make("span", { class: "tag unknown" }, "unknown to the model")),
      track.artist === null ? null : make("span", { class: "artist" }, makeName(track.artist)),
    );
    const grip = make("span", { class: "grip", draggable: "true", "aria-hidden": "true", dragstart: (event) => this.#drag(event, index), dragend: () => this.#drop(null) }, makeIcon("grip"));
    return make(
      "li",
      { dragover: (event) => this.#hover(event, index), dragleave: (event) => event.currentTarget.classList.remove("over"), drop: (event) => (event.preventDefault(), this.#drop(index)) },
      make(
        "div",
        { class: "row", "data-index": index },
        grip,
        make("span", { class: "number" }, String(index + 1)),
        names,
        makeIconButton("up", `Move ${title} up`, { "data-action": "up", disabled: index === 0, click: () => this.#move(index, index - 1, "up") }),
        makeIconButton("down", `Move ${title} down`, { "data-action": "down", disabled: index === this.#tracks.length - 1, click: () => this.#move(index, index + 1, "down") }),
        makeIconButton("remove", `Remove ${title}`, { "data-action": "remove", click: () => this.#remove(index) }),
      ),
    );
  }

  #press(event) {
    const row = event.target.closest(".row");
    if (!row || !event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    event.preventDefault();
    const index = Number(row.dataset.index);
    this.#move(index, index + (event.key === "ArrowUp" ? -1 : 1), event.target.dataset.action);
  }

  #move(from, to, action) {
    if (to < 0 || to >= this.#tracks.length) return;
    const [track] = this.#tracks.splice(from, 1);
    this.#tracks.splice(to, 0, track);
    this.#render();
    const button = this.#findButton(to, action);
    (button?.disabled ? this.#findButton(to, action === "up" ? "down" : "up") : button)?.focus();
    announce(`${describe(track)} is now seed ${to + 1} of ${this.#tracks.length}.`);
  }

  #remove(index) {
    const [track] = this.#tracks.splice(index, 1);
    this.#render();
    announce(`${describe(track)} is removed.`);
    if (this.#tracks.length === 0) this.onEmpty();
    else this.#findButton(Math.min(index, this.#tracks.length - 1), "remove").focus();
  }

  #findButton(index, action) {
    return this.#list.children[index].querySelector(`[data-action="${action}"]`);
  }

  #drag(event, index) {
    this.#dragged = index;
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", this.#tracks[index].uri);
    const row = this.#list.children[index];
    event.dataTransfer.setDragImage(row, 8, row.offsetHeight / 2);
    row.classList.add("dragged");
  }

  #hover(event, index) {
    if (this.#dragged === null) return;
    event.preventDefault();
    event.currentTarget.classList.toggle("over", index !== this.#dragged);
  }

  #drop(index) {
    const from = this.#dragged;
    this.#dragged = null;
    if (from !== null && index !== null && index !== from) this.#move(from, index);
    else for (const row of this.#list.children) row.classList.remove("over", "dragged");
  }
}
