// The dead time: nothing on a page answers before somebody could have seen it, counted from when it was painted.
// The server holds to it as well (by when it served the page), and the stylesheet where there is no script.
const ANSWERS = "form[data-verdict]";
let left = 0; // milliseconds, 0 on a page without answers
let turn = 0;
let alive = true;

export const answers = (el) => Boolean(el?.closest?.(ANSWERS));
export const dead = () => !alive;

// Dead from now on, and for the whole time once more after the next frame is on the screen; a hidden tab paints none.
export function arm() {
  if (!left) return;
  alive = false;
  document.body.dataset.dead = "";
  const mine = ++turn;
  const wake = () => {
    if (mine !== turn) return;
    alive = true;
    delete document.body.dataset.dead;
  };
  requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(wake, left)));
}

// A tap that came too early was meant for the page before: it does nothing, and the time begins anew.
function early(event) {
  if (alive || !answers(event.target)) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  arm();
}

export function deadTime() {
  left = Number(document.querySelector("[data-dead-for]")?.dataset.deadFor ?? 0);
  if (!left) return;
  for (const kind of ["click", "submit"]) document.addEventListener(kind, early, true);
  addEventListener("pageshow", (event) => { if (event.persisted) arm(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) arm(); });
  const fresh = (changes) => changes.some((change) => [...change.addedNodes].some((node) => node.matches?.(ANSWERS) || node.querySelector?.(ANSWERS)));
  new MutationObserver((changes) => { if (fresh(changes)) arm(); }).observe(document.body, { childList: true, subtree: true });
  arm();
}
