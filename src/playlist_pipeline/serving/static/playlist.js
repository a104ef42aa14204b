// The completed playlist: rows with a lock and a reason, remarks below.

import { post } from "./api.js";
import { announce, count, find, make, makeIcon, makeIconButton, makeName, makeTitle, titleOf } from "./dom.js";

const MAX_REASONS = 5;
const NAMES_OF_SETTINGS = {
  length: "length", top_k: "choices", temperature: "temperature", eop_weight: "early end", diversity: "diversity",
  popularity_penalty: "rarity", max_per_artist: "most of one artist", max_per_album: "most of one album", order: "order",
  unique_songs: "one version of a song", allow_tracks: "only these tracks", allow_artists: "only these artists",
  deny_tracks: "never these tracks", deny_artists: "never these artists",
};

export class PlaylistView {
  #list = find("tracks");
  #playlist = null;
  #locked = new Set();

  /** `seedsOf()` gives the URIs that a track was chosen for; `onChange()` is called when a lock changes. */
  constructor({ seedsOf, onChange }) {
    this.seedsOf = seedsOf;
    this.onChange = onChange;
    find("unlock").addEventListener("click", () => {
      this.#locked.clear();
      this.#render();
      announce("No track is locked.");
      find("regenerate").focus();
    });
  }

  get playlist() {
    return this.#playlist;
  }

  /** Positions and URIs of the locked tracks. */
  get locked() {
    const tracks = this.#playlist?.tracks ?? [];
    return tracks.filter((track) => this.#locked.has(track.uri)).map(({ position, uri }) => ({ position, uri }));
  }

  /** URIs that were drawn and are not locked. */
  get loose() {
    const tracks = this.#playlist?.tracks ?? [];
    return tracks.filter((track) => !track.seed && !this.#locked.has(track.uri)).map((track) => track.uri);
  }

  show(playlist) {
    this.#playlist = playlist;
    this.#locked = new Set(playlist.tracks.filter((track) => track.locked).map((track) => track.uri));
    this.#render();
  }

  #render() {
    const { tracks, name } = this.#playlist;
    this.#list.replaceChildren(...tracks.map((track) => this.#makeRow(track)));
    find("playlist-heading").replaceChildren(name ? makeName(name) : "Playlist");
    find("track-count").textContent = `${count(tracks.length, "track")}, ${tracks.filter((track) => !track.seed).length} added`;
    find("no-playlist").hidden = true;
    find("tools").hidden = false;
    find("copied").hidden = true;
    find("remarks").replaceChildren(...this.#makeRemarks());
    this.#showLocks();
  }

  #showLocks() {
    const number = this.#locked.size;
    find("regenerate").textContent = number ? "Regenerate the rest" : "Regenerate all";
    find("regenerate").disabled = this.loose.length === 0;
    find("unlock").hidden = number === 0;
    find("unlock").textContent = `Unlock ${count(number, "track")}`;
    this.onChange();
  }

  #makeRow(track) {
    const title = titleOf(track);
    const isUnknown = this.#playlist.unknown_seeds.includes(track.uri);
    const names = make(
      "div",
      { class: "names" },
      make(
        "span",
        { class: "title" },
        makeTitle(track),
        isUnknown ? make("span", { class: "tag unknown" }, "unknown to the model") : null,
      ),
      make("span", { class: "artist" }, makeName(track.artist ?? "")),
      make("span", { class: "album" }, makeName(track.album ?? "")),
    );
    const place = make("span", { class: "number" }, String(track.position));
    const item = make("li", { class: track.seed ? "given" : null });
    if (track.seed) {
      item.append(make("div", { class: "row" }, place, make("span", { class: "lock-place" }), names, make("span", { class: "end" }, make("span", { class: "tag" }, "seed"))));
      return item;
    }
    const reason = make("div", { class: "reason", id: `reason-${track.position}`, hidden: true });
    const why = makeIconButton("more", `Why ${title}?`, { class: "icon why", "aria-expanded": "false", "aria-controls": reason.id });
    why.addEventListener("click", () => this.#toggleReason(why, reason, track));
    const lock = makeIconButton("open", `Lock ${title}`, { class: "icon lock" });
    lock.addEventListener("click", () => {
      if (!this.#locked.delete(track.uri)) this.#locked.add(track.uri);
      this.#paintLock(item, lock, track);
      announce(`${title} is ${this.#locked.has(track.uri) ? "locked" : "no longer locked"}.`);
      this.#showLocks();
    });
    item.append(make("div", { class: "row" }, place, lock, names, make("span", { class: "end" }, why)), reason);
    this.#paintLock(item, lock, track);
    return item;
  }

  #paintLock(item, lock, track) {
    const isLocked = this.#locked.has(track.uri);
    item.classList.toggle("locked", isLocked);
    lock.setAttribute("aria-pressed", String(isLocked));
    lock.replaceChildren(makeIcon(isLocked ? "locked" : "open"));
  }

  async #toggleReason(button, reason, track) {
    reason.hidden = !reason.hidden;
    button.setAttribute("aria-expanded", String(!reason.hidden));
    if (reason.hidden || reason.childElementCount) return;
    const seeds = this.seedsOf().filter((uri) => uri !== track.uri);
    if (seeds.length === 0) {
      reason.append(make("p", {}, "There was no seed to compare with: the model drew it by itself."), ...makeLink(track));
      return;
    }
    reason.append(make("p", { class: "faint" }, "Looking …"));
    try {
      const { seeds: found } = await post("api/explain", { track: track.uri, seeds });
      reason.replaceChildren(...makeReason(found), ...makeLink(track));
      announce(reason.querySelector("p").textContent);
    } catch (problem) {
      reason.replaceChildren();
      const box = make("p", { class: "alert", role: "alert" }, problem.what);
      reason.append(box);
    }
  }

  #makeRemarks() {
    const { seeds, ended_by: end, notes, settings, seed } = this.#playlist;
    const unknown = seeds.filter((given) => !given.known).map((given) => make(
      "li",
      { class: "unknown" },
      "Unknown to the model: ",
      makeName(given.name === null ? given.uri : `${given.name} – ${given.artist}`),
    ));
    const shown = Object.entries(settings).filter(([, value]) => value !== 0).map(([name, value]) => `${NAMES_OF_SETTINGS[name] ?? name} ${formatSetting(value)}`);
    const last = make("li", {}, `Made with ${[...shown, `random seed ${seed}`].join(", ")}.`);
    return [...unknown, ...notes.map((note) => make("li", {}, makeName(note))), last];
  }
}

function formatSetting(value) {
  if (Array.isArray(value)) return value.join("; ");
  return typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
}

function makeLink({ link }) {
  if (link === null) return [];
  return [make("p", {}, make("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, "Open at open.spotify.com"))];
}

/** Say how a track stands to the nearest seeds. */
function makeReason(seeds) {
  const [nearest] = seeds;
  const lead = make("p", {}, "Nearest seed: ", makeTitle(nearest));
  if (nearest.artist !== null) lead.append(" by ", makeName(nearest.artist));
  lead.append(". ", sayTogether(nearest));
  const rows = seeds.slice(0, MAX_REASONS).map((seed) => make(
    "tr",
    {},
    make("th", { scope: "row" }, makeTitle(seed)),
    make("td", {}, seed.similarity === null ? "–" : seed.similarity.toFixed(2)),
    make("td", {}, seed.together === null ? "–" : `${seed.together} of ${seed.with_seed}`),
  ));
  const head = ["Seed", "Likeness", "Playlists with both"].map((text) => make("th", { scope: "col" }, text));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
  const more = seeds.length > MAX_REASONS ? [make("p", { class: "faint" }, `and ${count(seeds.length - MAX_REASONS, "seed")} farther away`)] : [];
  return [lead, table, ...more];
}

function sayTogether({ together, with_seed: withSeed }) {
  if (together === null) return "";
  if (together === 0) return "No training playlist holds both.";
  return `Of the ${count(withSeed, "training playlist")} that hold it, ${together} ${together === 1 ? "holds" : "hold"} this track too.`;
}
