// The page: seeds and controls on one side, the completed playlist on the other.

import { Problem, get, post } from "./api.js";
import { Combobox } from "./combobox.js";
import { Controls } from "./controls.js";
import { announce, count, describe, find, make, makeName } from "./dom.js";
import { setUpExports } from "./exports.js";
import { PlaylistView } from "./playlist.js";
import { SeedList } from "./seeds.js";

const KEPT = "playlist_pipeline";

class App {
  constructor(info) {
    this.info = info;
    this.title = find("title");
    this.title.maxLength = info.max_text;
    find("model").textContent = `${count(info.tracks, "track")} known`;
    this.seeds = new SeedList({ limit: info.max_seeds, onChange: () => this.keep(), onEmpty: () => this.combobox.focus() });
    this.controls = new Controls({ bounds: info.controls, maxSeed: info.max_random_seed, onChange: () => this.keep() });
    this.view = new PlaylistView({ seedsOf: () => this.usedSeeds, onChange: () => this.keep() });
    this.combobox = new Combobox({
      onChoose: (track) => this.addSeeds([track], describe(track)),
      onText: (text) => this.addLines(text.split("\n"), (what) => this.combobox.refuse(what)),
    });
    setUpExports({ formats: info.formats, playlistOf: () => this.view.playlist, onProblem: (problem) => this.showProblem(problem) });
    this.title.addEventListener("input", () => this.keep());
    find("request").addEventListener("submit", (event) => {
      event.preventDefault();
      this.complete();
    });
    find("regenerate").addEventListener("click", () => this.regenerate());
    find("add-lines").addEventListener("click", () => this.addPasted());
    this.restore();
  }

  addSeeds(tracks, name = null) {
    const { added, repeated, left } = this.seeds.add(tracks);
    const said = [
      added ? `${name !== null ? name : count(added, "track")} added.` : "",
      repeated ? (name !== null ? `${name} is a seed already.` : `${count(repeated, "track")} were seeds already.`) : "",
      left ? `${count(left, "track")} left out: at most ${this.seeds.limit} seeds are allowed.` : "",
    ].filter(Boolean).join(" ");
    announce(said);
    this.combobox.refuse(added && !left ? "" : said);
  }

  /** Add the tracks that lines name; `refuse(text)` shows why others were not added. */
  async addLines(lines, refuse) {
    const { max_lines: maxLines, max_text: maxText } = this.info;
    const wanted = lines.map((line) => line.trim());
    const tooLong = wanted.findIndex((line) => line.length > maxText);
    if (wanted.length > maxLines || tooLong >= 0) {
      refuse(tooLong >= 0 ? `Line ${tooLong + 1} is too long.` : `At most ${maxLines} lines at a time.`, []);
      return null;
    }
    try {
      const { tracks, refused } = await post("api/resolve", { lines: wanted });
      if (tracks.length) {
        this.addSeeds(tracks, tracks.length === 1 ? describe(tracks[0]) : null);
        this.combobox.clear();
      }
      if (refused.length) refuse(refused.map(({ line, what }) => (wanted.length > 1 ? `Line ${line}: ${what}` : what)).join("\n"));
      return refused;
    } catch (problem) {
      refuse(`${problem.what} ${problem.advice}`);
      return null;
    }
  }

  async addPasted() {
    const area = find("lines");
    const box = find("refused");
    box.replaceChildren();
    if (!area.value.trim()) return;
    const refused = await this.addLines(area.value.split("\n"), (text) => {
      box.replaceChildren(...text.split("\n").map((line) => makeName(line, "p", { class: "alert" })));
      announce(text);
    });
    // What was not added stays for the user to mend.
    if (refused) area.value = refused.map(({ given }) => given).join("\n");
  }

  complete() {
    return this.ask({ avoid: [], seed: this.controls.seed });
  }

  regenerate() {
    const seed = this.controls.seed >= this.controls.maxSeed ? 0 : this.controls.seed + 1;
    return this.ask({ avoid: this.view.loose, seed });
  }

  async ask({ avoid, seed }) {
    if (!this.controls.check()) return;
    const seeds = this.seeds.tracks.map((track) => track.uri);
    const { locked } = this.view;
    const body = { seeds, name: this.title.value.trim() || null, controls: this.controls.values, seed, locked, avoid: avoid.slice(0, this.info.max_avoid) };
    this.setBusy(true);
    try {
      const playlist = await post("api/complete", body);
      this.controls.seed = seed;
      this.usedSeeds = [...seeds, ...locked.map((track) => track.uri)].slice(0, this.info.max_seeds);
      this.view.show(playlist);
      this.showProblem(null);
      const unknown = playlist.unknown_seeds.length ? ` ${count(playlist.unknown_seeds.length, "seed")} unknown to the model.` : "";
      announce(`The playlist has ${count(playlist.tracks.length, "track")}.${unknown}`);
      this.reveal();
    } catch (problem) {
      this.showProblem(problem);
      this.reveal();
    } finally {
      this.setBusy(false);
    }
  }

  /** Bring the playlist into view where it stands below the form. */
  reveal() {
    const { top } = find("playlist").getBoundingClientRect();
    if (top > window.innerHeight * 0.6 || top < 0) find("playlist").scrollIntoView({ block: "start" });
  }

  setBusy(isBusy) {
    find("playlist").setAttribute("aria-busy", String(isBusy));
    find("progress").hidden = !isBusy;
    const button = find("complete");
    button.disabled = isBusy;
    button.textContent = isBusy ? "Completing …" : "Complete";
    if (isBusy) {
      find("regenerate").disabled = true;
      announce("Completing the playlist.");
    } else if (this.view.playlist) {
      find("regenerate").disabled = this.view.loose.length === 0;
    }
  }

  showProblem(problem) {
    const box = find("error");
    box.hidden = problem === null;
    if (problem === null) return;
    const { what, where, advice } = problem instanceof Problem ? problem : { what: String(problem), where: "this page", advice: "Load it again." };
    box.replaceChildren(makeName(what), make("small", {}, `${advice} (${where})`));
  }

  /** Keep what was entered for as long as this tab is open. */
  keep() {
    if (!this.view) return; // still being set up
    const { playlist, locked } = this.view;
    const state = { title: this.title.value, seeds: this.seeds.tracks, controls: this.controls.values, seed: this.controls.seed, playlist, locked, usedSeeds: this.usedSeeds };
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(state));
    } catch {
      // Without storage the page works all the same.
    }
  }

  restore() {
    this.usedSeeds = [];
    try {
      const state = JSON.parse(sessionStorage.getItem(KEPT));
      if (typeof state?.title === "string" && Array.isArray(state.seeds)) this.show(state);
    } catch {
      // Kept by another version, or not readable: the page begins anew.
    }
  }

  show({ title, seeds, controls, seed, playlist, locked, usedSeeds }) {
    this.title.value = title;
    this.controls.values = controls;
    this.controls.seed = seed;
    this.seeds.replace(seeds);
    this.usedSeeds = usedSeeds;
    if (!playlist) return;
    const uris = new Set(locked.map((track) => track.uri));
    this.view.show({ ...playlist, tracks: playlist.tracks.map((track) => ({ ...track, locked: uris.has(track.uri) })) });
  }
}

async function start() {
  try {
    new App(await get("api/info"));
  } catch (problem) {
    find("error").hidden = false;
    find("error").textContent = `${problem.what ?? problem.message} ${problem.advice ?? "Load the page again."}`;
  } finally {
    document.body.dataset.ready = "true";
  }
}

start();
