"""Content by kind, forms by schema, differences, words."""

from __future__ import annotations

from typing import Any

import pytest
import web_cases

from dualcontrol.case import Actor
from dualcontrol.errors import AnswerValueError
from dualcontrol.web.shapes import EntryReply
from dualcontrol.web.show import titles, words
from dualcontrol.web.show.content import Look
from dualcontrol.web.show.diff import changes
from dualcontrol.web.show.fields import collect, fields
from dualcontrol.web.show.history import history
from dualcontrol.web.show.markdown import rendered

KINDS: list[tuple[Any, str]] = [
    (None, "none"), (True, "bool"), (2**70, "number"), (1.5, "number"), ("hello", "text"), ("  ", "text"),
    ("", "empty"),
    ("# Title\n\ntext", "text"), ("2 * 3 * 4", "text"), ({"$markdown": "x"}, "fields"),
    ({}, "json"), ([], "json"), ({"a": 1}, "fields"), ([1, 2], "items"), ([{"a": 1}, {"a": 2, "b": "x"}], "table"),
    ([{"a": {}}], "list"),
    ([{"role": "user", "content": "hi"}], "chat"), ([{"role": "manager", "name": "x"}], "table"),
    (web_cases.picture(), "image"), ({"$image": web_cases.picture()}, "image"),
    ("data:image/svg+xml;base64,AAAA", "text"), ({"$image": "https://example.org/x.png"}, "fields"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind"), KINDS)
def test_content_is_shown_by_what_it_is(value: Any, kind: str) -> None:
    """One kind for each shape; what is not known for sure is text."""
    assert Look()(value, ("input",)).kind == kind


def test_runaway_content_is_cut() -> None:
    """Deep nesting ends as JSON text, long lists say how much more there is."""
    deep: Any = "end"
    for _ in range(40):
        deep = {"a": deep}
    assert "end" in str(Look()(deep, ("input",)))
    assert Look()([{"a": n} for n in range(1000)], ("input",)).more == 900


def test_markdown_is_clean() -> None:
    """No raw HTML, no images, no script links, headings below the page's own."""
    html = rendered("# T\n\n<b>x</b> ![i](http://e/i.png) [a](javascript:x) [b](https://e.org)")
    assert html is not None
    assert "<h3>T</h3>" in html
    assert "<img" not in html
    assert "<b>" not in html
    assert 'href="javascript' not in html
    assert 'rel="noopener noreferrer nofollow"' in html


def form(schema: Any, value: Any) -> dict[str, str]:
    """What a browser sends back from an untouched form."""
    return {f.input: f.text.replace("\n", "\r\n") for f in fields(schema, value)}


VALUES: list[dict[str, Any]] = [
    web_cases.ARGS,
    {"a": "x\ny", "b": "", "c": 1.0, "d": 2**65, "e": None, "f": {"n": [1]}, "g": False, "h": 1e300, "i": -0.0},
    {"text": " spaces ", "unicode": "ü😀", "quotes": "\"'<>&"},
]


@pytest.mark.parametrize("schema", [None, {**web_cases.SCHEMA, "required": []}])
@pytest.mark.parametrize("value", VALUES)
def test_an_untouched_form_changes_nothing(schema: Any, value: dict[str, Any]) -> None:
    """Every value comes back as it was, types and digits and line ends."""
    back = collect(fields(schema, value), form(schema, value))
    assert [repr(back[name]) for name in value] == [repr(said) for said in value.values()]
    assert list(back) == list(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("1e", "not JSON"), ('"x"', "whole number|number"), ("1.5", "whole number"), ("NaN", "not JSON")],
)
def test_a_number_that_is_none(text: str, message: str) -> None:
    """The error names the field."""
    known = fields({"properties": {"n": {"type": "integer"}}}, {"n": 1})
    with pytest.raises(AnswerValueError, match=message):
        collect(known, {"f:n": text})


def test_schemas_without_inputs() -> None:
    """What inputs cannot carry is edited as JSON."""
    assert fields({"oneOf": []}, {}) == ()
    assert fields(None, [1]) == ()
    (union,) = fields({"properties": {"a": {"type": ["string", "integer"]}}}, {"a": 1})
    assert union.kind == "json"
    (wrong,) = fields({"properties": {"a": {"type": "string"}}}, {"a": 1})
    assert wrong.kind == "json"


def test_required_and_null() -> None:
    """An emptied field is gone, null, or an error, as the schema says."""
    schema = {"required": ["a"], "properties": {"a": {"type": "integer"}, "b": {"type": ["integer", "null"]}}}
    known = fields(schema, {"a": 1, "b": 2})
    assert collect(known, {"f:a": "3", "f:b": ""}) == {"a": 3, "b": None}
    with pytest.raises(AnswerValueError, match="required"):
        collect(known, {"f:a": " ", "f:b": "2"})


def test_differences() -> None:
    """Changed fields first, nested ones by their path; 1 is not true."""
    found = changes({"same": 1, "deep": {"x": 1, "gone": 2}}, {"same": 1, "deep": {"x": True, "new": 3}}, Look())
    assert [row.path for row in found.changed] == ["deep.x", "deep.gone", "deep.new"]
    assert [row.path for row in found.same] == ["same"]
    assert not changes("a", "a", Look()).changed


def test_words() -> None:
    """Times and counts as people say them."""
    minute = 60 * words.SECOND
    assert words.duration(125 * minute) == "2 h 5 min"
    assert words.relative(0, 3 * minute) == "3 min ago"
    assert words.relative(10 * minute, 0) == "in 10 min"
    assert words.count(1, "answer") == "1 answer"
    assert words.count(1204, "answer") == "1,204 answers"
    assert words.percent(0.004) == "0.4 %"
    assert words.brief({"a": True, "b": None, "c": [1, 2]}) == "a true, b nothing, c 1, 2"


TALK = [
    {"role": "user", "content": "Where is it?"},
    {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
    {"role": "assistant", "content": "On its way."},
]
TITLES: list[tuple[Any, str]] = [
    ("live at five", "live at five"), (TALK, "And now?"), ({"messages": TALK, "id": "x"}, "And now?"),
    ({"image": {"$image": web_cases.picture(), "alt": "Scan"}, "pixels": [0] * 64}, "Scan"),
    ({"package": "attrs", "section": "Why not", "text": "x" * 99}, "attrs · Why not"),
    ({"mail": "# Hello `you`\n\nmy **keyboard**", "since": 2019}, "# Hello `you` my **keyboard**"),
    (web_cases.picture(), ""), ([0, 1, 2], ""), ({"n": 1}, ""), (None, ""), ({"deep": {"er": ["said"]}}, "said"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "said"), TITLES)
def test_a_title_is_what_a_human_would_say(value: Any, said: str) -> None:
    """Text as the caller wrote it: no image data, no numbers, no JSON, and of a talk what was asked last."""
    assert titles.spoken(value) == said


def test_what_a_picture_shows_already_is_raw_data() -> None:
    """Numbers beside a picture are folded away, and so is any heap of them; a short list is not."""
    kinds = {
        name: item.kind
        for name, item in Look()({"image": {"$image": web_cases.picture()}, "p": [[0, 9.5]] * 8}, ("input",)).fields
    }
    assert kinds == {"image": "image", "p": "raw"}
    lists = Look()({"few": [1, 2], "many": [1] * 64, "words": ["a"] * 64}, ("input",))
    assert [item.kind for _, item in lists.fields] == ["items", "raw", "items"]


def test_the_picture_beside_a_title_is_small_and_from_the_case() -> None:
    """Never an address, never a big one."""
    small = {"$image": web_cases.picture()}
    assert titles.picture(small) == titles.picture({"n": 1, "image": small}) == web_cases.picture()
    big, far = "data:image/png;base64," + "A" * 9000, "https://example.org/x.png"
    assert not any(titles.picture(value) for value in (None, "x", [small], big, far, {"$image": far}, {"$image": big}))


MINUTE = 60_000_000


@pytest.mark.parametrize(
    ("actor", "sentence"),
    [
        (Actor(person="ana"), "in Python; nobody signed in: Python held the database"),
        (Actor(person="ana", via="cli"), "on the command line; nobody signed in: the command line held the database"),
        (Actor(person="ana", via="cli", authenticated="os"), "on the command line, as the user of this machine"),
        (Actor(person="ana", via="http", authenticated="token"), "over HTTP, by a token"),
        (Actor(person="ana", via="web", authenticated="demo"), "on a page, in the demo, where nobody signs in"),
        (
            Actor(
                person="ana", via="web", authenticated="password", signed_in_at=7 * MINUTE,
                stepped_up_at=10 * MINUTE - 1,
            ),
            "on a page, signed in by password 3 min before, and again just before",
        ),
        (
            Actor(person="ana", via="web", authenticated="oidc", signed_in_at=10 * MINUTE - 4_000_000),
            "on a page, signed in with the provider 4 s before",
        ),
    ],
)  # fmt: skip
def test_the_history_says_how_it_is_known_who_answered(actor: Actor, sentence: str) -> None:
    answered = {
        "kind": "Answered", "actor": actor.to_dict(), "verdict": "approve", "at": 10 * MINUTE, "seconds": "4.0",
    }  # fmt: skip
    entry = EntryReply(seq=1, at=10 * MINUTE, actor="ana", proof=None, hash="h", prev="", pos=1, events=[answered])
    (row,) = history([entry])
    ((_, shown),) = row["told"]
    assert str(shown).removeprefix("<bdi>").removesuffix("</bdi>") == f"Approved after 4 s, {sentence}"


def test_an_answer_that_is_hidden_does_not_say_by_which_door() -> None:
    entry = EntryReply(
        seq=1, at=1, actor="ana", proof=None, hash="h", prev="", pos=1, events=[{"kind": "Answered", "at": 1}]
    )
    ((_, sentence),) = history([entry])[0]["told"]
    assert "hidden" in str(sentence)
