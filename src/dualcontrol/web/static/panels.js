// The panels of the decision bar: one open at a time, focus moves in and comes back.
let opener = null;

export function open(id) {
  shut();
  const panel = document.getElementById(id);
  if (!panel) return;
  opener = document.activeElement;
  panel.classList.add("open");
  mark(id, true);
  const first = panel.querySelector("input:not([type=hidden]), textarea, select");
  (first ?? panel).focus({ preventScroll: true });
  if (first?.matches("textarea, input")) first.setSelectionRange?.(first.value.length, first.value.length);
}

export function shut() {
  const panel = document.querySelector(".panel.open, .panel:target");
  if (!panel) return false;
  panel.classList.remove("open");
  mark(panel.id, false);
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  opener?.focus?.({ preventScroll: true });
  opener = null;
  return true;
}

function mark(id, on) {
  for (const link of document.querySelectorAll(`[data-panel="${id}"]`)) link.setAttribute("aria-expanded", String(on));
}

export function panels() {
  if (location.hash) {
    const id = location.hash.slice(1);
    history.replaceState(null, "", location.pathname + location.search);
    if (document.getElementById(id)?.classList.contains("panel")) open(id);
  }
  for (const link of document.querySelectorAll("[data-panel]")) {
    link.setAttribute("aria-expanded", "false");
    link.setAttribute("aria-controls", link.dataset.panel);
    const toggle = (event) => {
      event.preventDefault();
      const panel = document.getElementById(link.dataset.panel);
      if (panel.classList.contains("open")) shut(); else open(link.dataset.panel);
    };
    link.addEventListener("click", toggle);
    link.addEventListener("keydown", (event) => { if (event.key === " ") toggle(event); });
  }
  for (const link of document.querySelectorAll("[data-shut]")) {
    link.addEventListener("click", (event) => { event.preventDefault(); shut(); });
  }
  document.querySelector(".panel.open")?.querySelector("input:not([type=hidden]), textarea, select")?.focus();
  once();
}

// A decision is sent once: the second press of a button does nothing.
function once() {
  for (const form of document.querySelectorAll('form[method="post"]')) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "yes";
    });
  }
  addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });
}
