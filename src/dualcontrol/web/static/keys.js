// Single keys: a key acts on the visible element that names it. Never inside fields, never with modifiers, never while
// it is held, never while the page is dead; and while a text field is in view where one answers, letters are text.
import { answers, arm, dead } from "./dead.js";
import { open, shut } from "./panels.js";

const GO = { h: "/", i: "/inbox", c: "/cases" };
const TEXT = "textarea, input:not([type=hidden], [type=checkbox], [type=radio], [type=submit], [type=button])";
const field = (el) => el.closest?.("input, textarea, select, [contenteditable]");
const held = new Set();
let waiting = 0;

export function keys(on) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (again(event)) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return send(event);
    if (event.key === "Escape") return escape(event);
    if (event.ctrlKey || event.metaKey || event.altKey || field(event.target)) return;
    if (event.key === "?") return act(event, () => document.getElementById("keys-sheet")?.showModal());
    if (!on || document.querySelector("dialog[open]")) return;
    if (event.key.length === 1 && event.key !== " " && writing()) return;
    single(event);
  });
  document.addEventListener("keyup", (event) => (event.key === "Meta" ? held.clear() : held.delete(event.code)));
  addEventListener("blur", () => held.clear());
  for (const opener of document.querySelectorAll("[data-open]")) {
    opener.addEventListener("click", (event) => act(event, () => document.getElementById(opener.dataset.open).showModal()));
  }
  for (const closer of document.querySelectorAll("[data-close]")) {
    closer.addEventListener("click", () => closer.closest("dialog").close());
  }
}

// A key that is held says one thing once, whatever it is held on and however it repeats.
function again(event) {
  const repeats = event.repeat || (event.code && held.has(event.code));
  if (event.code) held.add(event.code);
  if (repeats && !field(event.target) && answers(event.target)) event.preventDefault();
  return repeats;
}

// Whoever types where an answer is written means the answer: the letter goes into the field, and does nothing else.
function writing() {
  if (!document.querySelector("form[data-verdict]")) return false;
  const fields = [...document.querySelectorAll(TEXT)].filter((el) => el.checkVisibility() && !el.closest("dialog"));
  const own = fields.find((el) => el.closest("[data-decide]"));
  if (own) {
    own.focus({ preventScroll: true });
    own.setSelectionRange?.(own.value.length, own.value.length);
  }
  return fields.length > 0;
}

function single(event) {
  if (Date.now() - waiting < 1500) {
    waiting = 0;
    if (GO[event.key]) return act(event, () => location.assign(GO[event.key]));
  }
  if (event.key === "g") { waiting = Date.now(); return; }
  if (event.key === "j" || event.key === "k") return act(event, () => step(event.key === "j" ? 1 : -1));
  if (event.key === "Enter") return enter(event);
  const target = named(event.key);
  if (target) act(event, () => press(target));
}

function named(key) {
  const escaped = CSS.escape(key);
  const found = document.querySelectorAll(`[data-key="${escaped}"], [data-arrow="${escaped}"]`);
  return [...found].find((el) => el.checkVisibility() && !el.disabled);
}

function press(target) {
  if (target.dataset.panel) { open(target.dataset.panel); return; }
  if (dead() && answers(target)) { arm(); return; }
  target.classList.add("pressed");
  target.click();
}

function send(event) {
  const form = field(event.target)?.form;
  const button = form?.querySelector("button:not([type=button])");
  if (form?.method === "post" && button) act(event, () => form.requestSubmit(button));
}

function escape(event) {
  if (shut() || document.querySelector("dialog[open]")) return;
  const back = field(event.target) ? null : named("Escape");
  if (back) { act(event, () => back.click()); return; }
  document.activeElement?.blur?.();
}

function step(by) {
  const items = [...document.querySelectorAll("[data-list] [data-item]")];
  if (!items.length) return;
  const at = items.findIndex((item) => item.classList.contains("at"));
  const next = items[Math.min(Math.max(at + by, 0), items.length - 1)];
  items[at]?.classList.remove("at");
  next.classList.add("at");
  next.querySelector("[data-go]").focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function enter(event) {
  const link = document.querySelector(".at [data-go]");
  if (link && (event.target === document.body || event.target.closest("main"))) {
    if (event.target.closest("a, button, summary")) return;
    act(event, () => link.click());
  }
}

function act(event, what) {
  event.preventDefault();
  what();
}
