// Starts what makes the console quick; every page works without any of it.
import { deadTime } from "./dead.js";
import { keys } from "./keys.js";
import { live } from "./live.js";
import { panels } from "./panels.js";
import { refresh } from "./refresh.js";
import { times } from "./times.js";

deadTime();
panels();
keys(document.body.dataset.shortcuts === "on");
times();
if (document.querySelector("[data-live]")) live();
if (document.querySelector("[data-refresh]")) refresh();
if (new URLSearchParams(location.search).has("done")) {
  const clean = new URL(location.href);
  clean.searchParams.delete("done");
  history.replaceState(null, "", clean);
}
