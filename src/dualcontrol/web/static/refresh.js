// A page that shows where something stands is read again now and then; nothing moves while somebody is in it.
const EVERY = 10_000;

async function again(part) {
  if (document.hidden || part.contains(document.activeElement)) return;
  const reply = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!reply.ok) return;
  const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector("[data-refresh]");
  if (!fresh || fresh.dataset.seq === part.dataset.seq || part.contains(document.activeElement)) return;
  const open = [...part.querySelectorAll("details")].map((one) => one.open);
  fresh.querySelectorAll("details").forEach((one, i) => { one.open = open[i] ?? false; });
  const at = part.querySelector(".moves")?.scrollTop ?? 0;
  part.replaceWith(fresh); // what would answer in it is dead at first, as on a new page: see dead.js
  const moves = fresh.querySelector(".moves");
  if (moves) moves.scrollTop = at;
}

export function refresh() {
  setInterval(() => {
    const part = document.querySelector("[data-refresh]");
    if (part) again(part).catch(() => {}); // the server is away; the next time may be better
  }, EVERY);
}
