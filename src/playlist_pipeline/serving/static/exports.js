// Copy and download in each format.

import { postForBlob } from "./api.js";
import { announce, find, make } from "./dom.js";

/** `formats` is the part of /api/info; `playlistOf()` gives what is shown; `onProblem(problem)` shows an error. */
export function setUpExports({ formats, playlistOf, onProblem }) {
  const select = find("format");
  select.append(...formats.map(({ name, title }) => make("option", { value: name }, title)));
  const write = () => postForBlob(`api/export/${select.value}`, playlistOf());
  const act = (action) => async () => {
    try {
      onProblem(null);
      await action(await write(), formats.find(({ name }) => name === select.value));
    } catch (problem) {
      onProblem(problem);
    }
  };
  find("copy").addEventListener("click", act(copy));
  find("download").addEventListener("click", act(download));
}

async function copy(blob, { title }) {
  const text = await blob.text();
  const area = find("copied");
  try {
    await navigator.clipboard.writeText(text);
    area.hidden = true;
    flash(find("copy"), "Copied");
    announce(`Copied as ${title}.`);
  } catch {
    // The browser does not let pages write to the clipboard: show the text instead.
    area.value = text;
    area.hidden = false;
    area.focus();
    area.select();
    announce("The browser does not allow copying; the text is selected.");
  }
}

function download(blob, { title, suffix }) {
  const address = URL.createObjectURL(blob);
  const link = make("a", { href: address, download: `playlist${suffix}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  announce(`Downloaded as ${title}.`);
}

function flash(button, text) {
  const before = button.textContent;
  if (before === text) return;
  button.textContent = text;
  setTimeout(() => (button.textContent = before), 1500);
}
