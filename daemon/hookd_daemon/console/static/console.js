// Keys, colours, times that go on, and fragments that the daemon sends. The
// pages work without any of it.
"use strict";

const root = document.documentElement;
const byId = (id) => document.getElementById(id);

// Colours ------------------------------------------------------------------
function switchTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const now = root.dataset.theme ?? system;
  const next = now === "dark" ? "light" : "dark";
  root.dataset.theme = next;
  try {
    if (next === system) localStorage.removeItem("hookd-theme");
    else localStorage.setItem("hookd-theme", next);
  } catch {
    // It lasts as long as this page.
  }
}
byId("theme")?.addEventListener("click", switchTheme);
byId("help")?.addEventListener("click", () => byId("keys").showModal());

// Times ----------------------------------------------------------------------
function rough(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]])
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.max(Math.floor(seconds), 0)} s`;
}
// The two clocks may differ: what counts is the daemon's, at the time of loading.
function tellTimes(within) {
  const now = Date.now();
  for (const time of within.querySelectorAll("time:not(.clock)")) {
    const seconds = (now - Date.parse(time.dateTime)) / 1000;
    let text;
    if ("age" in time.dataset) text = rough(seconds);
    else if (Math.abs(seconds) < 1) text = "just now";
    else text = seconds < 0 ? `in ${rough(-seconds)}` : `${rough(seconds)} ago`;
    if (time.textContent !== text) time.textContent = text;
  }
}
setInterval(() => tellTimes(document), 1000);

// Lists: j and k -----------------------------------------------------------------
const rows = () =>
  [...document.querySelectorAll("main [data-key]")].filter((row) => row.offsetParent !== null);
const place = (row) => `${row.closest("[id]")?.id ?? ""}/${row.dataset.key}`;
let marked = null;

function mark(row) {
  document.querySelector(".marked")?.classList.remove("marked");
  if (!row) return;
  marked = place(row);
  row.classList.add("marked");
  (row.querySelector("[data-open]") ?? row.querySelector("a"))?.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}
function move(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.classList.contains("marked"));
  mark(all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)]);
}

// Keys -----------------------------------------------------------------------
let going = 0;
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select");
  if (event.key === "Escape" && typing) return typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (Date.now() < going) {
    going = 0;
    const link = document.querySelector(`nav [data-go="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      link.click();
    }
    return;
  }
  switch (event.key) {
    case "/": {
      const search = document.querySelector("[data-search]");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      } else {
        document.querySelector('nav [data-go="r"]')?.focus();
      }
      break;
    }
    case "j":
      move(1);
      break;
    case "k":
      move(-1);
      break;
    case "g":
      going = Date.now() + 1500;
      break;
    case "t":
      switchTheme();
      break;
    case "?":
      byId("keys").showModal();
      break;
  }
});

// Fragments ------------------------------------------------------------------
const page = document.body.dataset.live;
const lamp = byId("live");
let wait = 1000;

function say(state, text) {
  if (!lamp) return;
  lamp.dataset.state = state;
  lamp.lastElementChild.textContent = text;
}

function put(name, html) {
  const box = byId(`f-${name}`);
  if (!box) return;
  const open = new Set([...box.querySelectorAll("details[open][id]")].map((one) => one.id));
  const within = box.contains(document.activeElement) ? document.activeElement : null;
  const href = within?.getAttribute("href");
  const before = new Set([...box.querySelectorAll("[data-key]")].map((one) => one.dataset.key));
  const first = !box.dataset.live;
  box.dataset.live = "yes";
  box.innerHTML = html;
  for (const one of box.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = true;
  for (const row of box.querySelectorAll("[data-key]")) {
    if (!first && !before.has(row.dataset.key)) row.classList.add("fresh");
    if (place(row) === marked) row.classList.add("marked");
  }
  if (href) box.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({ preventScroll: true });
  tellTimes(box);
}

function listen() {
  const source = new EventSource(`/console/live/${page}${location.search}`);
  source.addEventListener("open", () => {
    wait = 1000;
    say("live", "live");
  });
  source.addEventListener("fragments", (event) => {
    for (const [name, html] of Object.entries(JSON.parse(event.data))) put(name, html);
  });
  source.addEventListener("gone", () => {
    source.close();
    location.reload();
  });
  source.addEventListener("error", () => {
    say("lost", "reconnecting");
    if (source.readyState === EventSource.CLOSED) {
      wait = Math.min(wait * 2, 30000);
      setTimeout(listen, wait);
    }
  });
  addEventListener("pagehide", () => source.close(), { once: true });
}
if (page) listen();
