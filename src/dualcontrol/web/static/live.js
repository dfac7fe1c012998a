// The count in the top bar follows the queue; the list itself is never reordered under the cursor.
let source = null;
let first = null;

function told(event) {
  const counts = JSON.parse(event.data);
  const plus = counts.more ? "+" : "";
  const text = document.querySelector("[data-live-text] .sr");
  for (const el of document.querySelectorAll("[data-live]")) el.textContent = counts[el.dataset.live] + plus;
  const said = `${counts.open}${plus} waiting${counts.overdue ? `, ${counts.overdue} overdue` : ""}`;
  if (text && text.textContent !== said) text.textContent = said;
  first ??= counts.open;
  const fresh = document.querySelector("[data-fresh]");
  if (fresh && counts.open > first) fresh.hidden = false;
}

function connect() {
  if (source || document.hidden) return;
  source = new EventSource("/live");
  source.addEventListener("counts", told);
}

function disconnect() {
  source?.close();
  source = null;
}

// A hidden tab holds no connection: browsers allow six to one server.
export function live() {
  connect();
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", connect);
}
