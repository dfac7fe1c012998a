"""People in real browsers: set-up, invitation, sign-in by password and by a provider, and a rule of four eyes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import identity_provider
import pytest
import web_cases
from browsing import DESKTOP, ready
from team import PASSWORD, long_ago, passwords, team

import dualcontrol as dc
from dualcontrol.adapters.oidc import Provider
from dualcontrol.settings import Oidc
from dualcontrol.web.server import Serving, background

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider that is not ours."""
    with identity_provider.running() as address:
        yield address


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[dc.Desk]:
    """A desk that nobody has set up."""
    with dc.open(f"sqlite:///{tmp_path}/bare.db", durability="process") as desk:
        web_cases.define(desk)
        desk.loop("payouts", mode="approval", threshold=0.9, context="minimal", quorum={"answers": 2})
        yield desk


@pytest.fixture
def serving(bare: dc.Desk, issuer: str) -> Iterator[Serving]:
    """The console over it, with a provider."""
    settings = Oidc(issuer=issuer, client_id="dualcontrol", client_secret="s3cret", name="Example ID")
    with background(bare, port=0, provider=Provider(settings)) as serving:
        yield serving


@pytest.fixture
def somebody(browser: Browser, serving: Serving) -> Iterator[Callable[..., Page]]:
    """Opens a browser of somebody's own, without a session."""
    contexts = []

    def opened(**options: object) -> Page:
        context = browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})  # type: ignore[arg-type]
        contexts.append(context)
        return context.new_page()

    yield opened
    for context in contexts:
        context.close()


def sign_in(page: Page, serving: Serving, name: str) -> None:
    """Sign in by password, from a page that asks for it."""
    page.goto(f"{serving.url}inbox")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("main button.primary")
    page.wait_for_url("**/inbox")


def at_the_provider(page: Page, issuer: str, serving: Serving) -> None:
    """Say at the provider who one is, and come back."""
    page.wait_for_url(f"{issuer}/**")
    page.fill("input[name=sub]", "ann-17")
    page.click("button[type=submit], input[type=submit]")
    page.wait_for_url(lambda url: url.startswith(serving.url) and "/sign-in/back" not in url)


@pytest.mark.parametrize("script", [True, False])
def test_from_the_first_start_to_a_second_person(
    somebody: Callable[..., Page], serving: Serving, issuer: str, script: bool
) -> None:
    """The admin by the printed address, somebody by a link and the provider, then by the provider alone."""
    admin = somebody(java_script_enabled=script)
    admin.goto(serving.entry_url)
    admin.fill("#name", "root")
    admin.fill("#password", PASSWORD)
    admin.click("main button")
    assert admin.url == f"{serving.url}people"
    admin.fill("#name", "Ann")
    admin.fill("#group", "support")
    admin.click("text=Make the invitation")
    link = admin.inner_text(".secret")
    ann = somebody(java_script_enabled=script)
    ann.goto(link)
    ann.click("text=Use Example ID")
    at_the_provider(ann, issuer, serving)
    assert ann.inner_text(".you-name") == "Ann"
    ann.click(".you summary")
    ann.click("text=Sign out")
    assert ann.url == f"{serving.url}sign-in"
    ann.goto(f"{serving.url}cases?loop=spam")
    ann.click("text=Sign in with Example ID")
    at_the_provider(ann, issuer, serving)
    assert ann.url == f"{serving.url}cases?loop=spam"
    assert "support" in admin.goto(f"{serving.url}people").text()  # type: ignore[union-attr]


def approve(page: Page, serving: Serving, case: dc.Case) -> None:
    """Take a case on its page and approve it."""
    page.goto(f"{serving.url}cases/{case.id}")
    page.click("text=Review it")
    ready(page)
    page.click(".decide >> text=Approve")
    page.wait_for_load_state()


def test_a_rule_of_four_eyes_takes_two_sessions(somebody: Callable[..., Page], serving: Serving, bare: dc.Desk) -> None:
    """One person answers once, however often they sign in; the second is somebody else."""
    team(bare, ("ana", "ben"))
    passwords(bare, "ana")
    passwords(bare, "ben")
    case = bare.loop("payouts").propose(action="pay", args={"to": "Jana"}, input="An invoice.", confidence=0.4)
    first, again, second = somebody(), somebody(), somebody()
    sign_in(first, serving, "ana")
    approve(first, serving, case)
    assert bare.case(case.id).decision is None
    sign_in(again, serving, "ana")  # two sign-ins of one person
    again.goto(f"{serving.url}cases/{case.id}")
    assert again.locator("text=Review it").count() == 0
    first.goto(f"{serving.url}inbox")
    assert first.locator(f"a[href*='{case.id}']").count() == 0
    sign_in(second, serving, "ben")
    approve(second, serving, case)
    decided = bare.case(case.id)
    assert decided.decision is not None
    assert [answer.actor.person for answer in decided.answered] == ["ana", "ben"]
    assert {answer.actor.authenticated for answer in decided.answered} == {"password"}


@pytest.mark.parametrize("script", [True, False])
def test_an_old_sign_in_is_proved_anew(
    somebody: Callable[..., Page], serving: Serving, bare: dc.Desk, script: bool
) -> None:
    """With one more submit, and everything that was typed; with a script and without."""
    team(bare, ("ana",))
    passwords(bare, "ana")
    case = web_cases.refund(bare, risk="high")
    page = somebody(java_script_enabled=script)
    sign_in(page, serving, "ana")
    long_ago(bare, "ana")
    claim = bare.claim("ana", case=case)
    assert claim is not None
    page.goto(f"{serving.url}claims/{claim.id}")
    page.wait_for_timeout(700)
    page.click(".decide-in > .bar-buttons >> text=Edit")
    page.fill("#edit input[name='f:amount'], #edit [name$=amount]", "99.5")
    page.fill("#why-edit", "Half of it is enough.")
    page.click("text=Send edited")
    page.wait_for_url("**/answer")
    page.wait_for_timeout(700)
    page.fill("#password", PASSWORD)
    page.click("text=Yes, send the edit")
    page.wait_for_url("**/inbox*")
    (given,) = bare.case(case.id).answers
    assert given.rationale == "Half of it is enough."
    assert given.value["args"]["amount"] == 99.5
    assert given.actor.stepped_up_at is not None
