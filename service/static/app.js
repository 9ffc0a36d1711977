// Starts the page: log in, then the view that the address names.

import { get, post, read, remove } from "./parts/api.js";
import { here } from "./parts/address.js";
import { $, attempt, make, values } from "./parts/dom.js";
import * as jobs from "./parts/jobs.js";

const VIEWS = {
  "": () => import("./views/overview.js"),
  measure: () => import("./views/measure.js"),
  networks: () => import("./views/network.js"),
  plans: () => import("./views/plan.js"),
  jobs: () => import("./views/jobs.js"),
  fleet: () => import("./views/fleet.js"),
};

let shown = 0; // counts views, so that a slow one does not overwrite the one that came after it
let leave = null;

async function start() {
  const session = await get("/session");
  $("logout").hidden = !session.needed || !session.admitted;
  if (!session.admitted) return askForToken();
  $("fleet").hidden = !session.fleet;
  await Promise.all([jobs.start(), learnNames()]);
  jobs.listen(showBusy);
  showBusy();
  window.addEventListener("hashchange", () => attempt(showView));
  await showView();
  requestIdleCallback(() => attempt(learnViews));
}

/** What users call networks, anew once one was uploaded. */
async function learnNames() {
  const { items } = await read("/networks?limit=1000");
  jobs.nameNetworks(new Map(items.map((one) => [one.id, one.name])));
}

function askForToken() {
  const send = (event) => {
    event.preventDefault();
    attempt(async () => { await post("/session", values(event.target)); location.reload(); });
  };
  const field = make("input", { type: "password", name: "token", autocomplete: "current-password", required: true });
  $("main").replaceChildren(make("section", { class: "card narrow" }, make("h1", {}, "Log in"),
    make("form", { id: "login-form", onsubmit: send }, make("label", {}, "Token ", field), make("button", { type: "submit" }, "Log in"))));
  field.focus();
}

async function showView() {
  const { parts, query } = here();
  const [name = "", ...rest] = parts;
  const mine = ++shown;
  markCurrent(name);
  const address = location.hash;
  const [view] = await Promise.all([(VIEWS[name] ?? VIEWS[""])(), learnNames()]);
  const page = make("div", { class: `view ${name || "overview"}` });
  const drawn = await view.show(page, { parts: rest, query, current: () => mine === shown }).catch((error) => {
    page.replaceChildren(make("h1", {}, "This cannot be shown"), make("p", {}, error.message), make("p", {}, make("a", { href: "#/" }, "To the overview")));
  });
  if (mine !== shown) return drawn?.();
  leave?.();
  leave = drawn;
  const moved = document.activeElement !== document.body && !$("main").contains(document.activeElement);
  $("main").replaceChildren(page);
  $("main").dataset.address = address;
  const title = page.querySelector("h1");
  document.title = [title?.textContent, "rankwise"].filter(Boolean).join(" - ");
  title?.setAttribute("tabindex", "-1");
  if (mine > 1 && !moved) title?.focus({ preventScroll: true });
  if (mine > 1) scrollTo(0, 0);
  performance.measure("view", { start: started, detail: name });
  return undefined;
}

/** Once the first view is there and nothing else is to be done: have the code of the others. */
const learnViews = async () => {
  const views = await Promise.all(Object.values(VIEWS).map((load) => load()));
  for (const view of views) view.learnTabs?.();
};

let started = 0;
window.addEventListener("hashchange", () => { started = performance.now(); });

function markCurrent(name) {
  for (const one of $("views").querySelectorAll("a")) {
    if (one.getAttribute("href") === `#/${name}`) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
}

function showBusy() {
  const count = jobs.liveCount();
  $("busy").textContent = count || "";
  $("busy").setAttribute("aria-label", count ? `${count} waiting or running` : "");
}

$("theme").value = document.documentElement.dataset.theme;
$("theme").addEventListener("change", () => {
  localStorage.setItem("rankwise.theme", $("theme").value);
  document.documentElement.dataset.theme = $("theme").value;
});
$("skip").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); });
$("logout").addEventListener("click", () => attempt(async () => { await remove("/session"); location.reload(); }));

attempt(start);
