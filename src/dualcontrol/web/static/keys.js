// Single keys: a key acts on the visible element that names it. Never inside fields, never with modifiers.
import { open, shut } from "./panels.js";

const GO = { h: "/", i: "/inbox", c: "/cases" };
const field = (el) => el.closest?.("input, textarea, select, [contenteditable]");
let waiting = 0;

export function keys(on) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.repeat) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return send(event);
    if (event.key === "Escape") return escape();
    if (event.ctrlKey || event.metaKey || event.altKey || field(event.target)) return;
    if (event.key === "?") return act(event, () => document.getElementById("keys-sheet")?.showModal());
    if (!on || document.querySelector("dialog[open]")) return;
    single(event);
  });
  for (const opener of document.querySelectorAll("[data-open]")) {
    opener.addEventListener("click", (event) => act(event, () => document.getElementById(opener.dataset.open).showModal()));
  }
  for (const closer of document.querySelectorAll("[data-close]")) {
    closer.addEventListener("click", () => closer.closest("dialog").close());
  }
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
  const found = document.querySelectorAll(`[data-key="${escaped}"], [data-arrow="${escaped}"], [data-focus="${escaped}"]`);
  return [...found].find((el) => el.checkVisibility() && !el.disabled);
}

function press(target) {
  if (target.dataset.focus) { target.focus(); return; }
  if (target.dataset.panel) { open(target.dataset.panel); return; }
  target.classList.add("pressed");
  target.click();
}

function send(event) {
  const form = field(event.target)?.form;
  const button = form?.querySelector("button:not([type=button])");
  if (form?.method === "post" && button) act(event, () => form.requestSubmit(button));
}

function escape() {
  if (shut()) return;
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
