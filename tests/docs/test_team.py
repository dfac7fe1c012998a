"""The page on teams runs: five people, two groups, a token and a provider, in the order of the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import httpx2
import pytest

import dualcontrol as dc
from dualcontrol.cli import main
from dualcontrol.errors import SamePersonError
from dualcontrol.settings import load
from dualcontrol.web.server import background

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "team.md"
PEOPLE = {"ana": {"reviewer"}, "ben": {"reviewer"}, "cleo": {"reviewer", "lead"}, "pia": {"policy"}, "quin": {"policy"}}
WORDS = "four words are good"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dualcontrol.toml").write_text(blocks("toml")[0], encoding="utf-8")
    return tmp_path


def run(lines: str, capsys: pytest.CaptureFixture[str], *, codes: tuple[int, ...] = (0,)) -> list[str]:
    """What the commands of a block print."""
    printed = []
    for line in lines.strip().splitlines():
        name, *arguments = shlex.split(line)
        assert name == "dualcontrol"
        code = main(arguments)
        out = capsys.readouterr()
        assert code in codes, (line, code, out.out, out.err)
        printed.append(out.out + out.err)
    return printed


def approve_all(desk: dc.Desk, person: str) -> int:
    """Approve every change that waits for this policy owner."""
    count = 0
    while (claim := desk.claim(person, "changes")) is not None:
        claim.approve()
        count += 1
    return count


def test_the_page_from_top_to_bottom(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people, groups, token, removal, stop = blocks("sh")
    with dc.open(settings=load(folder)) as desk:
        with background(desk, port=0) as serving, httpx2.Client(base_url=serving.url, follow_redirects=True) as browser:
            page = browser.get(serving.entry_url)
            fields = dict(re.findall(r'name="(csrf)" value="([^"]+)"', page.text))
            done = browser.post("/set-up", data={**fields, "name": "root", "password": WORDS})
            assert done.status_code == 200, done.text
            assert [account.name for account in desk.people.accounts()] == ["root"]
            for name, line in zip(PEOPLE, people.strip().splitlines(), strict=True):
                (printed,) = run(line, capsys, codes=(0, 5))
                link = re.search(r"/join\?token=(\S+)", printed)
                assert link is not None, printed
                with httpx2.Client(base_url=serving.url, follow_redirects=True) as other:
                    assert name in other.get(f"/join?token={link[1]}").text
                    joined = other.post("/join", data={"token": link[1], "password": f"{WORDS}, {name}"})
                    assert (joined.status_code, joined.url.path) == (200, "/")
        assert {account.name: account.state for account in desk.people.accounts()} == dict.fromkeys(
            [*PEOPLE, "root"], "active"
        )
        assert desk.people.account("quin").grants == ()  # its role waits: pia can approve by now
        run(groups, capsys, codes=(5,))
        assert desk.people.groups() == []
        assert approve_all(desk, "pia") == 3
        assert {group.name: set(group.people) for group in desk.people.groups()} == {
            "support": {"ana", "ben"}, "leads": {"cleo"},
        }  # fmt: skip
        for name, roles in PEOPLE.items():
            assert {grant.role for grant in desk.people.account(name).grants} == roles
        (secret,) = re.findall(r"dc_[\w-]+", "".join(run(token, capsys)))
        case = propose(desk, secret)
        four_eyes(desk, case)
        run(removal, capsys)
        assert desk.people.account("ben").state == "removed"
        stopping, resuming = stop.strip().splitlines()
        run(stopping, capsys)
        control = desk.control("refunds")
        assert control is not None
        assert control.stopped is not None
        run(resuming, capsys, codes=(5,))
        assert approve_all(desk, "quin") == 1
        assert desk.control("refunds").stopped is None  # type: ignore[union-attr]
        assert main(["doctor"]) == 0, capsys.readouterr().out


def propose(desk: dc.Desk, secret: str) -> str:
    """A refund that the agent proposes by its token."""
    with background(desk, port=0) as serving, httpx2.Client(base_url=serving.url) as agent:
        agent.headers["Authorization"] = f"Bearer {secret}"
        body = {"action": "refund", "args": {"order": "A-17"}, "input": "It never came."}
        reply = agent.post("/api/v1/loops/refunds/cases", json=body)
        assert reply.status_code == 201, reply.text
        assert agent.post("/api/v1/claims", json={}).status_code == 403
        return str(reply.json()["id"])


def four_eyes(desk: dc.Desk, case_id: str) -> None:
    """Two people settle it, and pia, who answers for the agent, may not."""
    with pytest.raises(dc.errors.DualcontrolError):
        desk.claim("pia", case=case_id)
    for name, settled in (("ana", False), ("ben", True)):
        claim = desk.claim(name, case=case_id)
        assert claim is not None
        assert (claim.approve().outcome is not None) is settled
        if not settled:
            with pytest.raises(SamePersonError):
                desk.claim(name, case=case_id)


def test_the_settings_of_the_provider_load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second block lies over the first; the secret comes from a file and is shown nowhere."""
    (folder / "secret").write_text("s3cret-of-the-provider", encoding="utf-8")
    monkeypatch.setenv("DUALCONTROL_WEB__OIDC__CLIENT_SECRET_FILE", str(folder / "secret"))
    first, second = blocks("toml")
    (folder / "dualcontrol.toml").write_text(f"{first}\n{second}", encoding="utf-8")
    web = load(folder).web
    assert web.oidc is not None
    assert (web.url, web.oidc.issuer, web.oidc.client_secret) == (
        "https://review.example.org", "https://id.example.org", "s3cret-of-the-provider",
    )  # fmt: skip
