// The service's API.

const ROOT = "/api/v1";

async function call(path, init = {}) {
  const response = await fetch(ROOT + path, { credentials: "same-origin", ...init });
  if (response.ok) return response;
  if (response.status === 401 && path !== "/session") location.reload();
  let detail = `${response.status} ${response.statusText}`;
  try { detail = (await response.json()).detail; } catch { /* not JSON */ }
  throw new Error(detail);
}

export const get = async (path) => (await call(path)).json();
export const remove = (path) => call(path, { method: "DELETE" });
export const address = (path) => ROOT + path;

export async function post(path, body) {
  const init = { method: "POST" };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "content-type": "application/json" };
  }
  const response = await call(path, init);
  return response.status === 204 ? null : response.json();
}

export async function upload(path, blob) {
  const headers = { "content-type": "application/octet-stream" };
  return (await call(path, { method: "POST", body: blob, headers })).json();
}

const kept = new Map(); // answers by path, until something on the service has changed

/** What `get` gives, remembered until `forget` is called. */
export function read(path) {
  if (!kept.has(path)) {
    const answer = get(path);
    kept.set(path, answer);
    answer.catch(() => kept.delete(path));
  }
  return kept.get(path);
}

export const forget = () => kept.clear();

/** Calls back with the job whenever it changes, until it has ended; gives what ends it before. */
export function watch(id, changed) {
  const source = new EventSource(`${ROOT}/jobs/${id}/events`);
  source.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    if (!live(job)) source.close();
    changed(job);
  });
  return () => source.close();
}

export const live = (job) => job.state === "queued" || job.state === "running";
