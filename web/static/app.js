// Keys, menus and the queue's live updates. Every page works without this file.

const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const keysOn = () => root.dataset.keys !== "off";

// --- menus: one open at a time, closed by Esc and by a click elsewhere

const openMenus = () => document.querySelectorAll("details.menu[open]");

function closeMenus(except) {
  for (const menu of openMenus()) if (menu !== except) menu.open = false;
}

document.addEventListener("click", (event) => {
  closeMenus(event.target.closest("details.menu"));
  const help = event.target.closest("[data-keys-help]");
  if (help && byId("keys")) {
    event.preventDefault();
    closeMenus();
    byId("keys").showModal();
  }
});

document.addEventListener("toggle", (event) => {
  const menu = event.target;
  if (!menu.matches?.("details.menu[open]")) return;
  closeMenus(menu);
  if (!menu.contains(document.activeElement?.closest(".sheet"))) focusIn(menu);
}, true);

function focusIn(menu) {
  menu.querySelector(".sheet :is(select, textarea, input:not([type=hidden]), button, a)")?.focus();
}

document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// --- keys

const rows = () => [...document.querySelectorAll("#queue tbody tr")];
const currentRow = () => document.querySelector("#queue tbody tr[aria-current=true]");

function pick(row) {
  currentRow()?.removeAttribute("aria-current");
  row.setAttribute("aria-current", "true");
  row.querySelector("a").focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(currentRow());
  pick(all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + step))]);
}

const places = { q: "[href='/queue']", m: "[href='/queue/mine']", h: "[href='/hosts']", r: "[href='/rules']" };
let waitingForPlace = 0;

function go(key) {
  document.querySelector(`.side ${places[key] ?? "none"}`)?.click();
}

// A key presses what carries it: data-key on a link, a button, a summary or a field.
function press(key) {
  const target = document.querySelector(`[data-key="${CSS.escape(key)}"]:not([hidden])`);
  if (!target) return false;
  if (target.matches("summary")) {
    target.parentElement.open = !target.parentElement.open;
    if (target.parentElement.open) focusIn(target.parentElement); // at once: the next key may be typed already
    else target.focus();
  } else if (target.matches("input[type=radio]")) {
    target.checked = true;
    target.dispatchEvent(new Event("change", { bubbles: true }));
    byId("words")?.focus();
  } else if (target.matches("input, textarea, select")) {
    target.focus();
  } else {
    target.click();
  }
  return true;
}

function bulk(act) {
  const button = document.querySelector(`#bulk [value=${act}]`);
  if (!button) return false;
  const here = currentRow()?.querySelector(".pick");
  if (here && !document.querySelector(".pick:checked")) here.checked = true;
  if (document.querySelector(".pick:checked")) button.form.requestSubmit(button);
  return true;
}

function escape(event) {
  const menu = openMenus()[0];
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (typing(event.target)) {
    event.target.blur();
  } else if (currentRow()) {
    currentRow().removeAttribute("aria-current");
  } else {
    document.querySelector("[data-back]")?.click();
  }
}

const typing = (node) => node.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");

const commands = {
  j: () => move(1),
  k: () => move(-1),
  x: () => currentRow()?.querySelector(".pick")?.click(),
  o: () => currentRow()?.querySelector("a")?.click(),
  "?": () => byId("keys")?.showModal(),
  "/": () => (byId("search").focus(), byId("search").select()),
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.ctrlKey && typing(event.target)) {
    event.target.form?.requestSubmit();
    return;
  }
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
  if (event.getModifierState("AltGraph") || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return escape(event);
  if (!keysOn() || typing(event.target)) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (Date.now() < waitingForPlace) {
    waitingForPlace = 0;
    go(key);
  } else if (key === "g") {
    waitingForPlace = Date.now() + 1500;
  } else if (commands[key]) {
    commands[key]();
  } else if (!(byId("bulk") && ((key === "m" && bulk("take")) || (key === "e" && bulk("close")))) && !press(key)) {
    return;
  }
  event.preventDefault();
});

// --- drafts: what is typed on a ticket survives a lost connection; cleared when it is sent and at log-out

for (const field of document.querySelectorAll("textarea[data-draft]")) {
  const name = `draft:${field.dataset.draft}`;
  field.value ||= sessionStorage.getItem(name) ?? "";
  field.addEventListener("input", () => sessionStorage.setItem(name, field.value));
  field.form.addEventListener("submit", () => sessionStorage.removeItem(name));
}
document.querySelector("form[action='/logout']")?.addEventListener("submit", () => sessionStorage.clear());

// --- live updates: rows change in place, new ones wait behind a bar, nothing moves under the pointer

const ACTIVE = 3000, IDLE = 10000, HIDDEN = 60000, STAYS_ACTIVE = 60000;
let lastActive = Date.now();
let timer = 0;
for (const kind of ["pointerdown", "keydown", "scroll"]) {
  addEventListener(kind, () => { lastActive = Date.now(); }, { passive: true });
}

function pace(failed) {
  if (document.hidden || failed > 3) return HIDDEN;
  if (failed) return IDLE;
  return Date.now() - lastActive < STAYS_ACTIVE ? ACTIVE : IDLE;
}

// Asks `address()` again and again, with the last answer's ETag; `use` gets the parsed page when it changed.
function poll(address, use) {
  let etag = "", asked = "", failed = 0, running = false;
  const ask = async () => {
    if (running) return;
    running = true;
    clearTimeout(timer);
    try {
      const url = address();
      if (url !== asked) [etag, asked] = ["", url];
      const answer = await fetch(url, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store", redirect: "manual" });
      if (answer.type === "opaqueredirect") return location.reload();
      if (answer.status === 200) {
        etag = answer.headers.get("ETag") ?? "";
        use(new DOMParser().parseFromString(await answer.text(), "text/html"));
      } else if (answer.status !== 304) {
        throw new Error(answer.status);
      }
      failed = 0;
    } catch {
      failed += 1;
    } finally {
      running = false;
    }
    byId("offline")?.toggleAttribute("hidden", failed < 2);
    timer = setTimeout(ask, pace(failed));
  };
  timer = setTimeout(ask, ACTIVE);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  return ask;
}

function changed(row, fresh) {
  return row.innerHTML !== fresh.innerHTML || row.classList.contains("unread") !== fresh.classList.contains("unread");
}

function refresh(row, fresh) {
  const focused = row.contains(document.activeElement) && document.activeElement.matches("a, .pick") ? document.activeElement.tagName : "";
  const checked = row.querySelector(".pick").checked;
  row.innerHTML = fresh.innerHTML;
  row.classList.toggle("unread", fresh.classList.contains("unread"));
  row.querySelector(".pick").checked = checked;
  if (focused) row.querySelector(focused).focus({ preventScroll: true });
}

function queueNews(page) {
  for (const count of page.querySelectorAll("[data-count]")) {
    const place = document.querySelector(`.side [data-count="${count.dataset.count}"]`);
    if (place) place.textContent = count.textContent;
  }
  const incoming = new Map([...page.querySelectorAll("#rows > tr")].map((row) => [row.id, row]));
  for (const row of rows()) {
    const fresh = incoming.get(row.id);
    row.classList.toggle("left", !fresh);
    if (fresh && changed(row, fresh)) refresh(row, fresh);
  }
  const news = page.getElementById("news").textContent.trim();
  const more = byId("more");
  if (more.textContent !== news) more.textContent = news;
  more.hidden = !news;
  more.rows = [...incoming.values()];
}

function show(event) {
  const body = document.querySelector("#queue tbody");
  if (!body || !event.currentTarget.rows) return; // an empty list: the link loads the page
  event.preventDefault();
  const known = new Map(rows().map((row) => [row.id, row]));
  const arranged = event.currentTarget.rows.map((row) => {
    const here = known.get(row.id);
    if (!here) row.classList.add("fresh");
    return here ?? row;
  });
  const first = arranged.find((row) => row.classList.contains("fresh") && !known.has(row.id));
  body.replaceChildren(...arranged.map((row) => document.adoptNode(row)));
  event.currentTarget.hidden = true;
  if (first) pick(first);
}

const queue = byId("queue");
if (queue?.dataset.rows) {
  const address = () => {
    const have = rows().map((row) => row.id.slice(1)).join(",");
    return `${queue.dataset.rows}${queue.dataset.rows.includes("?") ? "&" : "?"}have=${have}`;
  };
  poll(address, queueNews);
  byId("more").addEventListener("click", show);
}

const ticket = document.querySelector("[data-news]");
if (ticket) {
  poll(() => ticket.dataset.news, (page) => {
    const news = page.getElementById("news").textContent.trim();
    byId("more").hidden = !news;
    if (byId("more").textContent !== news) byId("more").textContent = news;
  });
}
