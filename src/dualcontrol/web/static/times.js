// Times that move: ages, what is left, and a lease that is extended while its holder works.
// The clock of this machine may be off by minutes, and ten seconds are short: the page says what the server's said.
const skew = Number(document.body.dataset.now ?? Date.now()) - Date.now();
const now = () => Date.now() + skew;
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function spoken(seconds, most) {
  const parts = [];
  for (const [size, unit] of UNITS) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, most).join(" ") || "0 s";
}

function ages() {
  for (const el of document.querySelectorAll("time[data-at]")) {
    const seconds = Math.round((now() - Number(el.dataset.at)) / 1000);
    if (Math.abs(seconds) < 5) el.textContent = "just now";
    else el.textContent = seconds > 0 ? `${spoken(seconds, 1)} ago` : `in ${spoken(-seconds, 1)}`;
  }
}

function left() {
  for (const el of document.querySelectorAll("[data-left]")) {
    const seconds = Math.round((Number(el.dataset.left) - now()) / 1000);
    const plain = "plain" in el.dataset ? "" : " left";
    el.textContent = seconds >= 0 ? `${spoken(seconds, 2)}${plain}` : `over by ${spoken(-seconds, 1)}`;
    el.closest(".due")?.classList.toggle("soon", seconds < 300 && seconds >= 0);
    el.closest(".due")?.classList.toggle("late", seconds < 0);
  }
  for (const el of document.querySelectorAll("[data-until]")) el.hidden = Number(el.dataset.until) < now();
}

let active = Date.now();

async function hold() {
  const form = document.querySelector("[data-extend]");
  const lease = document.querySelector("[data-lease]");
  if (!form || !lease) return;
  const rest = Number(lease.dataset.left) - now();
  if (rest > 120000 || rest < 0 || Date.now() - active > 90000) return;
  const reply = await fetch(form.action, {
    method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams(new FormData(form)),
  }).catch(() => null);
  if (reply?.ok) lease.dataset.left = Math.floor((await reply.json()).lease_until / 1000);
}

export function times() {
  for (const kind of ["keydown", "pointerdown", "scroll"]) addEventListener(kind, () => { active = Date.now(); }, { passive: true });
  setInterval(left, 1000);
  setInterval(ages, 10000);
  setInterval(hold, 20000);
  left();
}
