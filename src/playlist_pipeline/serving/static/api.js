// The server's answers, and its one form of error: what, where, advice.

export class Problem extends Error {
  constructor({ what, where, advice }) {
    super(what);
    Object.assign(this, { what, where, advice });
  }
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ what: "The server does not answer.", where: path, advice: "Is it still running? Then try again." });
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => null);
  throw new Problem(problem ?? { what: `The server answered with status ${response.status}.`, where: path, advice: "Try again." });
}

export const get = async (path, signal) => (await request(path, { signal })).json();

const send = (path, body, signal) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal });

export const post = async (path, body, signal) => (await send(path, body, signal)).json();

export const postForBlob = async (path, body) => (await send(path, body)).blob();
