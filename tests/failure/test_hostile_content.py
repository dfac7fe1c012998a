"""Any content that the door lets in is shown in short time and little room, and all of it can be seen."""

from __future__ import annotations

import html
import json
import re
import struct
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import web_cases
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.errors import ProposalError
from dualcontrol.web.app import create_app
from dualcontrol.web.show.content import image_bytes
from dualcontrol.web.show.titles import spoken

MOST = 1_000_000  # bytes of a page
SECONDS = 3.0  # of processor time; what grows with the square of its length takes minutes
MARKDOWN = ["input", "input.v", "rationale", "proposal.v", "history"]


ODD = "\u200b\u200c"


class Console:
    """A console over a desk, entered by ana."""

    def __init__(self, path: Path) -> None:
        self.desk = dc.open(f"sqlite:///{path}/dc.db", durability="process")
        for mode in ("approval", "labels", "preference", "fallback"):
            self.desk.loop(mode, mode=mode, context="minimal", markdown=MARKDOWN)
        app = create_app(self.desk, token="a-token-of-the-tests", people=("ana",))
        self.web = TestClient(app, base_url="http://127.0.0.1:8765", headers={"Accept": "text/html"})
        self.web.get("/", params={"token": app.state.access.entry})

    def page(self, address: str) -> str:
        """A page that came in time and is no larger than it may be."""
        began = time.process_time()
        reply = self.web.get(address)
        took = time.process_time() - began
        assert reply.status_code == 200, address
        assert took < SECONDS, (address, took)
        assert address.endswith(".json") or len(reply.content) < MOST, (address, len(reply.content))
        return reply.text

    def pages(self, case: dc.Case, *, lists: bool = True) -> list[str]:
        """Every page that shows something of a case."""
        claim = self.desk.claim("ana", case=case)
        assert claim is not None
        addresses = [f"/cases/{case.id}", f"/claims/{claim.id}"]
        if lists:
            addresses += ["/inbox", "/cases", f"/claims/{claim.id}/whole?at=/input"]
        shown = [self.page(address) for address in addresses]
        self.desk.release(claim.id)
        return shown


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    """A console of its own."""
    made = Console(tmp_path)
    yield made
    made.desk.close()


def nested(levels: int, value: Any, name: str | None = "a") -> Any:
    """A value so many levels deep, in objects or in lists."""
    for _ in range(levels):
        value = [value] if name is None else {name: value}
    return value


HOSTILE: dict[str, Any] = {
    "line ends": "x" + "\n" * 60_000 + "y", "brackets": "[" * 60_000, "stars": "*a " * 30_000, "under": "_a" * 30_000,
    "backticks": "".join("`" * n + "x" for n in range(400)), "definitions": "[a]: b\n" * 9_000,
    "links": "[a](" * 20_000, "pictures": "![" * 30_000, "quotes": ">" * 60_000, "lists": "- " * 30_000,
    "cells": "|".join("a" * 50) + "\n" + "|".join("-" * 50) + "\n" + "a\n" * 3_000,
    "pipes": "|a|b|\n|-|-|\n" + "|" * 60_000,
    "angles": "<" * 1_000_000, "ampersands": "&" * 1_000_000, "quote signs": '"' * 500_000, "slashes": "\\" * 500_000,
    "slashed quotes": '\\"' * 250_000, "combining": "a" + "\u0301" * 300_000, "many marks": "\u0301\u0302" * 150_000,
    "one word": "w" * 1_000_000, "zero width": "\u200b\u200c" * 150_000, "spaces": " " * 1_000_000 + "x",
    "emoji": "👩‍💻" * 60_000, "wide": {f"k{n}": n for n in range(60_000)},
    "hidden names": {f"\u202e{n}": "\u2066" for n in range(20_000)},
    "long name": {"k" * 500_000: "v"}, "deep": nested(190, "x"), "deep lists": nested(190, "x", None),
    "deep and long": nested(180, ["1"] * 200_000, None), "small lists": [[1]] * 200_000,
    "rows": [{"a": n, "b": "x"} for n in range(30_000)],
    "messages": [{"role": "user", "content": "hi"}] * 20_000, "numbers": list(range(150_000)),
    "texts": ["word"] * 100_000,
    "deep and wide": nested(40, {f"k{n}": nested(30, n) for n in range(2_000)}),
    "image": f"data:image/png;base64,{'A' * 1_000_000}",
    "images": [{"$image": f"data:image/png;base64,{'A' * 7_000}"}] * 140,
    "digits": [10**4000] * 200,
    "names that hide": {f"{n}{ODD * 95}": ODD * 300 for n in range(160)},
    "columns that hide": [{f"{n}{ODD * 95}": 1 for n in range(12)}] * 100,
    "speakers that hide": [{"role": "user", "name": ODD * 99, "content": ODD * 700}] * 100,
    "quoted fields": {f'"{n}"': '"' * 2_400 for n in range(200)}, "long texts": ["&" * 1_300] * 700,
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in ("small lists", "deep and wide") else ()) for n in HOSTILE]
)
def test_every_page_is_quick_and_small(console: Console, name: str) -> None:
    """In every slot at once, in a mode with arguments and in one without."""
    value = HOSTILE[name]
    args = value if isinstance(value, dict) else {"v": value}
    text = value if isinstance(value, str) else "because"
    given: dict[str, Any] = {"input": value, "history": [value], "meta": {"m": value}, "rationale": text}
    console.pages(console.desk.loop("approval").propose(action="run", args=args, **given))
    console.pages(console.desk.loop("fallback").propose(proposal=value, **given), lists=False)


def test_twins_and_other_pages_are_quick(console: Console) -> None:
    """What carries all of a case carries it at once, and what shows nothing of it does not wait for it."""
    value = HOSTILE["small lists"]
    case = console.desk.loop("approval").propose(action="run", args={"v": value}, input=value, history=value)
    claim = console.desk.claim("ana", case=case)
    assert claim is not None
    addresses = ["/", f"/cases/{case.id}.json", f"/claims/{claim.id}.json", f"/cases/{case.id}/whole", "/inbox.json"]
    for address in addresses:
        console.page(address)


FRAGMENTS = st.one_of(
    st.sampled_from([
        "[", "]", "(", "*", "**", "_", "`", "```\n", "~~", "<", "&", '"', "\\", "\n", "\n\n", "|", "|-|-|\n", "> ",
        "- ", "1. ", "# ", "[a]: b\n", "![", "](", "https://", "\u202e", "\u200b", "\u200d", "\u0301", "👩‍💻", "א",
        "𝒳", "\t", " ", "\r", "\x1b[2J", "data:image/png;base64,", "{{7*7}}", "--", "==\n",
    ]),
    st.text(max_size=4),
)  # fmt: skip
LONG = st.builds(
    lambda parts, times: ("".join(parts) * times)[:200_000],
    st.lists(FRAGMENTS, min_size=1, max_size=6), st.integers(1, 40_000),
)  # fmt: skip
VALUES = st.recursive(
    LONG,
    lambda inner: st.one_of(
        st.builds(lambda item, times: [item] * times, inner, st.integers(1, 3)),
        st.builds(lambda name, item: {name[:2_000]: item, "n": 1}, LONG, inner),
        st.builds(nested, st.integers(1, 100), inner),
    ),
    max_leaves=3,
)


def test_whatever_is_generated_is_quick_and_small(console: Console) -> None:
    """Text of repeated fragments that a parser may stumble over, in whatever shape."""

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(VALUES)
    def shown(value: Any) -> None:
        loop = console.desk.loop("approval")
        assume(len(json.dumps(value, ensure_ascii=False).encode()) < 900_000)
        case = loop.propose(action="run", args={"v": value}, input=[value], rationale=json.dumps(value)[:300_000])
        console.pages(case)
        console.desk.withdraw(case.id)

    shown()


def test_a_list_of_large_cases_is_quick(console: Console) -> None:
    """Forty cases of several MiB each; each is still named by how its input begins."""
    loop = console.desk.loop("fallback")
    for n in range(40):
        loop.propose(
            proposal="x" * 900_000, input={"mail": f"Hello from {n}, " + "y" * 900_000}, history=["z" * 900_000]
        )
    assert "Hello from 7, yyy" in console.page("/inbox")
    assert "Hello from 39, yyy" in console.page("/cases")


def test_names_that_hide_are_cut(console: Console) -> None:
    """Actions, people, segments and reasons of 200 signs that all have to be named, forty times on a page."""
    odd = ODD * 98
    loop = console.desk.loop("approval", context="minimal", human_actions=[f"{n}{odd}" for n in range(40)])
    for n in range(40):
        given: dict[str, Any] = {"segment": odd, "owner": f"{odd}o", "run": odd, "key": odd * 20 + str(n)}
        case = loop.propose(action=f"{n}{odd}", args={odd: odd}, input=odd * 50, confidence=0.99, **given)
    for n in range(80):
        console.desk.claim(f"{n}{odd}", case=case).release()
    console.pages(case)


def test_many_candidates(console: Console) -> None:
    """Each can still be chosen, all of them can be seen, and those of a page are few."""
    desk = console.desk
    many = [{"id": f"n{n}", "value": f"answer {n}"} for n in range(3_000)]
    pairs = desk.loop("preference").propose(input="x", candidates=many)
    console.pages(pairs)
    desk.loop("labels").propose(input="x", proposal="l1", scores={f"l{n}": 1 / 3_000 for n in range(3_000)})
    console.page("/inbox")
    for case in (desk.loop("approval").propose(action="a", args={}, input="x", alternatives=many), pairs):
        console.pages(case)
    claim = desk.claim("ana", case=pairs)
    page = console.page(f"/claims/{claim.id}")
    assert "There are 3,000 candidates; 24 are shown" in page
    form = web_cases.seen(console.web, f"/claims/{claim.id}")
    console.web.post(f"/claims/{claim.id}/answer", data={**form, "verdict": "prefer", "prefer": "n2999"})
    assert desk.case(pairs.id).answers[0].value["ranking"][0] == ["n2999"]


def test_many_labels(console: Console) -> None:
    desk = console.desk
    labels = [f"label {n} " + "x" * 60 for n in range(8_000)]
    loop = desk.loop("tags", mode="labels", labels=labels, context="minimal")
    console.pages(loop.propose(input="x", proposal=labels[5]))


def test_an_id_of_a_candidate_is_a_name() -> None:
    """As every other name it is short, and has no control characters."""
    with dc.open("sqlite:///:memory:", durability="process") as desk:
        loop = desk.loop("pairs", mode="preference", context="minimal")
        for odd in ("x" * 300, "a\x00b"):
            with pytest.raises(ProposalError, match="a candidate is named by"):
                loop.propose(input="x", candidates=[{"id": odd, "value": 1}, 2])


def test_a_long_life_is_quick(console: Console) -> None:
    """Six hundred entries: the first and the last are on the page, and the page says how many are not."""
    case = console.desk.loop("approval").propose(action="a", args={}, input="x")
    for n in range(300):
        console.desk.claim(f"person {n}", case=case).release()
    page = console.page(f"/cases/{case.id}")
    assert "481 entries not shown here" in page
    assert "person 299" in page


def text_of(page: str) -> str:
    """What stands in the element that shows a value whole."""
    found = re.search(r'(?s)<section class="card">(?:<pre[^>]*>|<div[^>]*>)(.*?)(?:</pre>|</div>)</section>', page)
    assert found is not None
    return html.unescape(found[1])


@pytest.mark.parametrize("value", ["line of text <&>\n" * 12_000, [{"n": n, "ä": "ö"} for n in range(9_000)]])
def test_all_of_a_value_can_be_seen(console: Console, value: Any) -> None:
    """What a page cuts it links, and the pages behind the link are the value, without a gap."""
    case = console.desk.loop("approval").propose(action="run", args={"v": value}, input="x")
    claim = console.desk.claim("ana", case=case)
    page = console.page(f"/claims/{claim.id}")
    assert f'href="/claims/{claim.id}/whole?at=%2Fproposal%2Fvalue%2Fv"' in page
    address = f"/claims/{claim.id}/whole?at=/proposal/value/v"
    first = console.page(address)
    pages = int(re.search(r"page 1 of (\d+)", first)[1])
    texts = [text_of(console.page(f"{address}&page={n}")) for n in range(1, pages + 1)]
    whole = "".join(texts)
    shown = re.sub(r"</?bdi>", "", whole)
    assert (shown if isinstance(value, str) else json.loads(shown)) == value
    assert console.web.get(f"{address}&page={pages + 1}").status_code == 404
    assert console.web.get(f"{address}/nothing").status_code == 404
    assert json.loads(console.page(f"/cases/{case.id}/whole.json"))["value"]["candidates"][0]["value"]["v"] == value


def test_a_large_image_has_an_address(console: Console) -> None:
    """Its own bytes under its own type, and nothing else is served so."""
    body = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 300, 200) + bytes(60_000)
    source = f"data:image/png;base64,{b64encode(body).decode()}"
    case = console.desk.loop("fallback").propose(
        proposal="x",
        input={"scan": {"$image": source, "alt": "scan"}, "bad": "data:image/png;base64,AAAA=A" + "A" * 9_000},
    )
    page = console.page(f"/cases/{case.id}")
    address = f"/cases/{case.id}/image?at=%2Finput%2Fscan%2F%24image"
    assert f'<img class="v-image" src="{address}" alt="scan">' in page
    reply = console.web.get(address)
    assert (reply.content, reply.headers["content-type"]) == (body, "image/png")
    assert console.web.get(f"/cases/{case.id}/image?at=/input/bad").status_code == 404
    assert console.web.get(f"/cases/{case.id}/image?at=/mode").status_code == 404
    assert image_bytes("data:image/svg+xml;base64,AAAA") is None


def test_a_whole_value_is_shown_to_whom_the_page_is(tmp_path: Path) -> None:
    """A blind review hides the proposal at every address, and a claim is its holder's."""
    with dc.open(f"sqlite:///{tmp_path}/b.db", durability="process", secret="s" * 32) as desk:
        promise = {"max_error": 0.05, "launch": 0}
        loop = desk.loop("mail", mode="labels", labels=["a", "b"], context="minimal", audit=1.0, guarantee=promise)
        desk.loop("mail", mode="labels", labels=["a", "b"], context="minimal", audit=1.0, threshold=0.5)
        case = loop.propose(input="x", proposal="a", confidence=0.9, rationale="told")
        app = create_app(desk, token="a-token-of-the-tests", people=("ana",))
        with TestClient(app, base_url="http://127.0.0.1:8765", headers={"Accept": "text/html"}) as web:
            web.get("/", params={"token": app.state.access.entry})
            claim = desk.claim("ben", case=case)
            refused = web.get(f"/claims/{claim.id}/whole")
            assert (refused.status_code, "told" in refused.text) == (404, False)
            assert web.get("/claims/none/whole").status_code == 404


def test_titles_of_any_shape_are_quick() -> None:
    """However many branches there are without a text in them."""
    wide: Any = 1
    for _ in range(6):
        wide = [wide] * 12
    began = time.process_time()
    assert spoken({"a": wide, "b": wide}) == ""
    assert time.process_time() - began < SECONDS
