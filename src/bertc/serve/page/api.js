// Requests to the server that this page came from. The key is kept here, in memory, and nowhere else.

let key = "";

/** A reply that is no answer. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Use a key from now on; an empty one is none. */
export function useKey(given) {
  key = given;
}

/** Whether a key is in use. */
export function hasKey() {
  return key !== "";
}

/** The reply to a GET, or with a body to a POST. Throws Refusal, or what fetch throws. */
export async function reach(path, body, signal) {
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  const reply = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "omit",
    referrerPolicy: "no-referrer",
    signal,
  });
  if (!reply.ok) {
    const told = await reply.json().catch(() => ({}));
    throw new Refusal(reply.status, told.error?.message ?? told.error ?? reply.statusText);
  }
  return reply;
}

/** The JSON of a reply. */
export async function ask(path, body, signal) {
  return (await reach(path, body, signal)).json();
}

/** The command that makes a request without this page. */
export function curl(path, body) {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''");
  const secret = key ? ' -H "authorization: Bearer $API_KEY"' : "";
  return `curl ${new URL(path, document.baseURI)}${secret} -H 'content-type: application/json' -d '${quoted}'`;
}
