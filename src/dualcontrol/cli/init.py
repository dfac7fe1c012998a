"""``init``: a commented settings file with one loop to begin with."""

from __future__ import annotations

from typing import Annotated

import typer

from dualcontrol.cli.command import Force, State, group, verb
from dualcontrol.cli.read import usage, write
from dualcontrol.cli.screen import report

app = group("init", "Start.")
TEMPLATE = """\
# Settings of dualcontrol. Every key, its meaning and what it costs: docs/settings.md
# Check this file with `dualcontrol policy check`, see what is in force with `dualcontrol config show`.

[database]
url = "sqlite:///dualcontrol.db"       # or postgresql://user@host/name
durability = "power"                   # an acknowledged step survives power loss; "process": it survives a crash

[web]
port = 8765                            # the console of `dualcontrol serve`

# Who belongs to which group. A group that is not listed is open to everybody.
# [groups]
# support = ["ana", "ben"]
# leads = ["carla"]

# One loop is one AI task under human control. This one is about an agent that wants to refund orders.
[loop.refunds]
mode = "approval"                      # approval, labels, preference or fallback
threshold = 0.90                       # autopilot from this confidence on; higher is safer and costs human time
risk_ceiling = "medium"                # above it a human decides, whatever the confidence
audit = 0.05                           # this share of autopilot cases is reviewed as well
human_actions = ["delete_account"]     # always a human
respond_within = "15m"                 # how long a human has
on_timeout = "reject"                  # then: reject, hold, escalate or autopilot
context = "standard"                   # a proposal needs input, rationale and alternatives
rationale = "required"                 # a reviewer says why, to reject, edit or escalate
# group = "support"                    # who reviews; needs [groups] above
# start = "shadow"                     # first only watch (shadow), then suggest, then gate

# Rules come first, top to bottom: CEL expressions over action, args, input, signal and meta.
[[loop.refunds.rule]]
name = "large amounts"
when = 'has(args.amount) && args.amount > 500.0'
route = "human"
risk = "high"
# quorum = { answers = 2 }             # two people, who must agree
"""


@verb(app, "init", "dualcontrol init", "dualcontrol init --force")
def init(
    state: State,
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Where to write.")] = "dualcontrol.toml",
    force: Force = False,
) -> None:
    """Write a commented dualcontrol.toml with one loop to begin with; an existing file stays as it is."""
    if not file.endswith(".toml"):
        raise usage(f"settings are a .toml file, not {file!r}")
    write(file, TEMPLATE, force=force)
    done = f"{file} is written. Next: dualcontrol policy check, then dualcontrol serve."
    report(state.as_json, {"file": file}, done)
