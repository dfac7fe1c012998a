"""What a reviewer sees is what there is: literal, in the caller's order, with everything that hides by its name."""

from __future__ import annotations

import hashlib
import html
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import web_cases
from starlette.testclient import TestClient

import dualcontrol as dc
from dualcontrol.case import ENCODER
from dualcontrol.events import Answered
from dualcontrol.review.view import digest, view

BIDI = "invoice\u202efdp.exe"
OVERRIDE = '<b class="sign">U+202E RIGHT-TO-LEFT OVERRIDE</b>'
SPACE = '<b class="sign">U+200B ZERO WIDTH SPACE</b>'


class Page(HTMLParser):
    """Text and form values of a page, as a browser takes them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[str] = []
        self.values: list[tuple[str, str]] = []
        self._area: str | None = None
        self._typed = ""
        self._hidden = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag in ("input", "button") and "name" in said:
            self.values.append((said["name"], said.get("value", "")))
        if tag == "textarea":
            self._area, self._typed = said.get("name"), ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area is not None:
            self.values.append((self._area, self._typed.removeprefix("\n")))
            self._area = None

    def handle_data(self, data: str) -> None:
        self._typed += data
        if self._area is None:
            self.seen.append(data)

    def of(self, name: str) -> list[str]:
        """The values of the inputs of a name."""
        return [value for known, value in self.values if known == name]


def token(web: TestClient) -> str:
    """What a form of this session carries."""
    return Page(web.get("/keys").text).of("csrf")[0]


def take(web: TestClient, case: dc.Case) -> Any:
    """The review page after pressing the button on the case's page."""
    return web.post(f"/cases/{case.id}/claim", data={"csrf": token(web)})


def shell(desk: dc.Desk, args: Any, **given: Any) -> dc.Case:
    """An action that a human has to look at."""
    settings = {name: given.pop(name) for name in ("markdown",) if name in given}
    loop = desk.loop("shell", context="minimal", meta=["note", "x"], undo=0, **settings)
    return loop.propose(**{"action": "run", "args": args, "input": "x", **given})


LITERAL = [
    "rm -rf **/cache && echo *done*", "[ref]: https://evil.example/x\nand text",
    "| a | b |\n|---|---|\n| 1 | 2 | 3 | 4 |", "# not a heading", "`$(whoami)` and ``", "1. one\n7. two",
    "<script>alert(1)</script> &lt;b&gt; &amp;", "a  \n\n\n b",
    "\\*escaped\\*", "![x](y) [x](y) <https://a.example>", "~~gone~~ __init__ _x_", "line\n\n    code\n", "- - -\n***",
    "$markdown", "null", "\ttab and trailing space ",
]  # fmt: skip


@pytest.mark.parametrize("text", LITERAL)
def test_arguments_are_shown_literally(web: TestClient, desk: dc.Desk, text: str) -> None:
    """Nothing vanishes and nothing changes, on the page to decide and on the case's page."""
    case = shell(desk, {"command": text}, input={"command": text}, rationale=text, history=[text], meta={"note": text})
    for page in (take(web, case), web.get(f"/cases/{case.id}")):
        texts = re.findall(r'(?s)<div class="v-text" dir="auto">(.*?)</div>', page.text)
        assert [html.unescape(re.sub(r"<[^>]*>", "", shown)) for shown in texts].count(text) == 5
        assert text in "".join(Page(page.text).seen)
        assert "v-markdown" not in page.text


def test_markdown_is_shown_only_where_it_is_declared(web: TestClient, desk: dc.Desk) -> None:
    """With a switch back to the text; arguments begin as text all the same, and are never guessed."""
    mail = "# Hello\n\nsee **this**\n\n[gone]: https://evil.example"
    case = shell(
        desk, {"body": mail, "other": mail}, input={"mail": mail, "note": mail}, rationale=mail,
        markdown=["input.mail", "proposal.body"],
    )  # fmt: skip
    page = take(web, case).text
    assert page.count('<div class="v-markdown" dir="auto"><h3>Hello</h3>') == 2
    args, given = page.index('id="proposal-h"'), page.index('id="input-h"')
    first = page[args:given]
    assert first.index("# Hello") < first.index("Show rendered") < first.index("<h3>Hello</h3>")
    mails = page[given:]
    assert mails.index("<h3>Hello</h3>") < mails.index("Show as text") < mails.index("# Hello")
    assert "".join(Page(page).seen).count(mail) == 5
    assert "evil.example" not in re.sub(
        r"(?s)<div class=\"v-text.*?</div>|<pre.*?</pre>|<textarea.*?</textarea>", "", page
    )


def test_a_list_is_gone_through_and_a_name_with_dots_is_one(web: TestClient, desk: dc.Desk) -> None:
    case = shell(
        desk, {}, input={"mails": [{"body": "**one**", "to": "**x**"}, {"body": "**two**", "to": "**y**"}]},
        history=[{"role": "user", "content": "**three**"}], markdown=["input.mails.body", "history.content"],
    )  # fmt: skip
    page = take(web, case).text
    for word in ("one", "two", "three"):
        assert f"<strong>{word}</strong>" in page
    assert "<strong>x</strong>" not in page


def everywhere(desk: dc.Desk) -> dc.Case:
    """A case with a hidden character in everything that a caller may name."""
    odd = f"a{BIDI}"
    talk = [{"role": "user", "name": odd, "content": odd, odd: odd}]
    loop = desk.loop("odd", context="minimal", group="re\u200bviewers", quorum={"arbiter": "le\u202eads"}, undo="30s")
    return loop.propose(
        action=f"send {BIDI}", args={odd: odd, "rows": [{odd: odd}], "deep": {odd: {odd: [odd, {odd: odd}]}}},
        input={odd: odd, "talk": talk}, rationale=odd, history=talk, meta={odd: odd}, owner=odd, segment=odd,
        confidence=0.1, key=odd, alternatives=[{"id": odd, "action": odd, "args": {odd: odd}, "rationale": odd}],
    )  # fmt: skip


def test_hidden_characters_are_named_on_every_page(web: TestClient, desk: dc.Desk) -> None:
    """In values and names of fields, titles, the history and the flash; raw only in forms.

    Names of actions, people and groups are kept without what hides.
    """
    case = everywhere(desk)
    labelled = desk.loop("spam").propose(input=BIDI, proposal="spam", confidence=0.1)
    pages = [web.get("/inbox"), web.get("/cases"), web.get(f"/cases/{case.id}"), web.get("/"), take(web, case)]
    address = pages[-1].url.path
    edited = {
        **web_cases.seen(web, address),
        "verdict": "edit",
        "how": "json",
        "json": json.dumps({"file": BIDI, "n": 1}),
    }
    pages += [web.post(f"{address}/answer", data={**edited, "rationale": BIDI}), web.get(f"/cases/{case.id}")]
    for page in pages:
        assert page.status_code == 200
        text = re.sub(r"(?s)<textarea.*?</textarea>| (?:value|name)=\"[^\"]*\"", "", page.text)
        assert not set(text) & set("\u202e\u200b"), page.url
    for page in (pages[0], pages[1], pages[2], pages[4], pages[5], pages[6]):
        assert OVERRIDE in page.text
    assert "<title>send invoicefdp.exe · dualcontrol</title>" in pages[4].text
    title = "<title>invoice[U+202E RIGHT-TO-LEFT OVERRIDE]fdp.exe · dualcontrol</title>"
    assert title in web.get(f"/cases/{labelled.id}").text
    assert f'<ins><div class="v-text" dir="auto">invoice{OVERRIDE}fdp.exe</div></ins>' in re.sub(
        r">\s+<", "><", pages[6].text
    )


def test_the_edit_form_names_what_its_inputs_cannot_show(web: TestClient, desk: dc.Desk) -> None:
    """Each input holds the very value, with a line below that says what hides in it."""
    page = take(web, shell(desk, {"file": BIDI, "plain": "x", "long": "y" * 70 + "\u200b"}))
    form = Page(page.text)
    assert (form.of("f:file"), form.of("f:plain"), form.of("f:long")) == ([BIDI], ["x"], ["y" * 70 + "\u200b"])
    assert page.text.count("With what is hidden in it:") == 3  # two inputs, and the arguments as JSON
    assert json.loads(form.of("json")[0]) == {"file": BIDI, "plain": "x", "long": "y" * 70 + "\u200b"}


def test_labels_and_their_buttons_say_what_hides(web: TestClient, desk: dc.Desk) -> None:
    desk.loop("odd", mode="labels", labels=["pay", "pay\u200b"], context="minimal", undo=0)
    case = desk.loop("odd").propose(input="x", proposal="pay\u200b")
    page = take(web, case)
    assert f"pay{SPACE}</span>" in re.sub(r"\s+", "", page.text) or f"pay{SPACE}" in page.text
    assert Page(page.text).of("value") == ['"pay"', '"pay\u200b"']
    web.post(
        f"{page.url.path}/answer",
        data={**web_cases.seen(web, page.url.path), "verdict": "label", "value": '"pay\u200b"'},
    )
    assert desk.case(case.id).decision.value == "pay\u200b"


def test_text_from_right_to_left_keeps_to_itself(web: TestClient, desk: dc.Desk) -> None:
    """Names stand in an isolate, texts in an element of their own direction, and so does each string of JSON."""
    case = shell(desk, {"לקוח": "יעל כהן", "sum": 12}, owner="דוד", action="שלח")
    page = take(web, case).text
    assert "<h1><bdi>שלח</bdi></h1>" in page
    assert "<dt><bdi>לקוח</bdi></dt>" in page
    assert '<div class="v-text" dir="auto">יעל כהן</div>' in page
    assert "<bdi>&#34;לקוח&#34;</bdi>: <bdi>&#34;יעל כהן&#34;</bdi>, &#34;sum&#34;: 12" in page
    assert "Proposed by <bdi>דוד</bdi>" in web.get(f"/cases/{case.id}").text


ORDER = {"zeta": 1, "alpha": {"y": 1, "x": [{"b": 1, "a": 2}]}, "Mid": "m", "beta": None}


def test_the_order_of_arguments_is_the_callers(web: TestClient, api: TestClient, desk: dc.Desk) -> None:
    """On the page, in its form and its JSON, over the API, in Python, and after a restart."""
    case = shell(desk, ORDER, input=ORDER)
    written = json.dumps(ORDER)
    page = take(web, case)
    names = re.findall(r"<dt>(\w+)</dt>", page.text)
    assert names[:5] == ["zeta", "alpha", "y", "x", "Mid"]
    assert [name for name, _ in Page(page.text).values if name.startswith("f:")] == [f"f:{n}" for n in ORDER]
    assert json.dumps(json.loads(Page(page.text).of("json")[0])) == written
    for twin in (f"/cases/{case.id}.json", f"{page.url.path}.json"):
        told = web.get(twin).json()
        assert json.dumps(told.get("view", told)["input"]) == written
    assert json.dumps(api.get(f"/api/v1/cases/{case.id}").json()["candidates"][0]["value"]) == written
    with dc.open(desk.settings.database.url, durability="process") as again:
        assert json.dumps(again.case(case.id).candidates[0].value) == written
    edited = {**web_cases.seen(web, page.url.path), "verdict": "edit", "how": "form", "f:Mid": "n"}
    web.post(f"{page.url.path}/answer", data=edited)
    assert list(desk.case(case.id).decision.value["args"]) == list(ORDER)


def test_the_titles_of_lists_change_nothing(web: TestClient, desk: dc.Desk) -> None:
    """Asterisks of a shell command stay in the inbox as well."""
    desk.loop("spam").propose(input="rm -rf **/*.tmp `whoami` # now", proposal="spam")
    assert "rm -rf **/*.tmp `whoami` # now" in html.unescape(web.get("/inbox").text)


def test_the_digest_covers_how_the_page_showed_it(web: TestClient, desk: dc.Desk) -> None:
    """View and rendering together: with another field as markdown, or another order of arguments, it is another."""
    digests = []
    for args, markdown in (({"a": 1, "b": 2}, ()), ({"b": 2, "a": 1}, ()), ({"a": 1, "b": 2}, ("input",))):
        case = shell(desk, args, markdown=markdown)
        page = take(web, case)
        shown = Page(page.text).of("shown")[0]
        held = desk.claimed(page.url.path.rpartition("/")[2])
        preimage = {"rendered": {"version": 2, **({"markdown": list(markdown)} if markdown else {})}, "view": held.view}
        as_text = json.dumps(preimage, ensure_ascii=False, separators=(",", ":")).encode()
        assert shown == f"page-2:{hashlib.sha256(as_text).hexdigest()}"
        web.post(
            f"{page.url.path}/answer", data={**web_cases.seen(web, page.url.path), "verdict": "approve", "shown": shown}
        )
        (answered,) = [e for e in desk.events(case.id) if isinstance(e, Answered)]
        assert answered.shown == shown
        digests.append(shown)
    assert len(set(digests)) == 3


def test_an_answer_to_another_rendering_is_not_taken(web: TestClient, desk: dc.Desk) -> None:
    """The loop declared a field as markdown while the page was open: the page is shown again and says so."""
    case = shell(desk, {"n": 1}, input="**x**")
    page = take(web, case)
    shell(desk, {"n": 2}, markdown=["input"])
    again = web.post(f"{page.url.path}/answer", data={
        **web_cases.seen(web, page.url.path), "verdict": "reject", "rationale": "what I typed",
        "shown": Page(page.text).of("shown")[0],
    })  # fmt: skip
    assert again.status_code == 409
    assert "this page shows the case otherwise than when you opened it" in again.text
    assert "what I typed" in Page(again.text).of("rationale")
    assert "<strong>x</strong>" in again.text
    assert desk.case(case.id).decision is None
    fresh = {**web_cases.seen(web, page.url.path), "verdict": "approve", "shown": Page(again.text).of("shown")[0]}
    web.post(f"{page.url.path}/answer", data=fresh)
    assert desk.case(case.id).decision is not None


def test_the_digest_of_other_doors_is_as_it_was(api: TestClient, desk: dc.Desk) -> None:
    """Over the API, in Python and in files it is that of the view with sorted keys, as every earlier record has it."""
    case = shell(desk, {"b": 1, "a": 2})
    claim = desk.claim("ana", case=case)
    assert claim is not None
    wanted = hashlib.sha256(ENCODER.encode(claim.view)).hexdigest()
    assert digest(view(claim.case, claim.review, "ana")) == wanted
    api.post(f"/api/v1/claims/{claim.id}/answer", json={"verdict": "approve"})
    assert desk.case(case.id).answers[0].shown == wanted


def test_what_hides_comes_back_from_an_untouched_form(web: TestClient, desk: dc.Desk) -> None:
    """A lone carriage return, a NUL or a trailing line end is not changed by a form that changes something else."""
    args = {
        "cr": "a\rb",
        "crlf": "a\r\nb",
        "end": "x\n",
        "start": "\nx",
        "hidden": "\u200b\u202e",
        "space": " x ",
        "n": 1,
    }
    case = shell(desk, args)
    page = take(web, case)
    sent = {name: re.sub(r"\r\n|\r|\n", "\r\n", value) for name, value in Page(page.text).values if name[:2] == "f:"}
    form = {**web_cases.seen(web, page.url.path), "verdict": "edit", "how": "form", **sent, "f:n": "2"}
    web.post(f"{page.url.path}/answer", data=form)
    assert desk.case(case.id).decision.value["args"] == {**args, "n": 2}


def test_the_filter_goes_along_with_an_alternative(web: TestClient, desk: dc.Desk) -> None:
    """The form of an alternative names the loop that the inbox was filtered by."""
    case = web_cases.refund(desk, alternatives=[{"action": "resend", "args": {"order": "A-1207"}}])
    claim = desk.claim("ana", case=case)
    page = web.get(f"/claims/{claim.id}?loop=refunds").text
    assert set(Page(page).of("loop")) == {"refunds"}
