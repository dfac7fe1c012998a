"""``demo``: the whole loop with simulated proposals, in a browser or without one."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from dualcontrol.cli.command import State, group, verb
from dualcontrol.cli.read import usage

app = group("demo", "Demo.")


@verb(app, "demo", "dualcontrol demo", "dualcontrol demo --headless --seed 7 --json")
def demo(
    state: State,
    headless: Annotated[
        bool, typer.Option("--headless", help="No browser: a scripted reviewer, and the figures of each round.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same figures.")] = 0,
    guarantee: Annotated[
        bool, typer.Option("--guarantee", help="With --headless: at most 5 % error at 95 %, instead of a threshold.")
    ] = False,
    adjudicate: Annotated[
        bool, typer.Option("--adjudicate/--no-adjudicate", help="With --guarantee: ask a second reviewer first.")
    ] = True,
    stamper: Annotated[
        bool, typer.Option("--stamper", help="With --headless: refunds, and one of four reviewers stamps everything.")
    ] = False,
    host: Annotated[str, typer.Option(metavar="HOST", help="Serve the console here.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="And there; another if taken.")] = 8765,
) -> None:
    """Run the whole loop with simulated proposals; you review in the browser, the threshold follows.

    With --headless a scripted reviewer answers, and the figures of each round are printed. No settings are read.
    """
    if stamper and (guarantee or not headless):
        raise usage("--stamper is a --headless run of its own, under a guarantee already")
    if stamper:
        import_module("dualcontrol.demo.refunds").main(seed, state.database, as_json=state.as_json)
        return
    if headless:
        import_module("dualcontrol.demo.headless").main(
            seed, state.database, as_json=state.as_json, guarantee=guarantee, adjudicate=adjudicate
        )  # fmt: skip
        return
    if guarantee:
        raise usage("--guarantee is for a --headless run")
    if state.as_json:
        raise usage("--json prints the figures of a --headless run; the demo in the browser has its API")
    import_module("dualcontrol.demo.runner").run_demo(database=state.database, host=host, port=port, seed=seed)
