"""init, config, db, openapi, serve, train and demo."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request

import pytest

from dualcontrol.store.sql.schema import VERSION_TABLE


def test_init_writes_settings_that_hold(run, folder):
    (folder / "dualcontrol.toml").unlink()
    assert run("init").code == 0
    assert run("policy", "check").code == 0
    assert tomllib.loads((folder / "dualcontrol.toml").read_text(encoding="utf-8"))["loop"]["refunds"]


def test_what_init_leaves_commented_out_holds_as_well(run, folder):
    from dualcontrol.cli.init import TEMPLATE

    lines = [line.removeprefix("# ") if "=" in line or "[groups]" in line else line for line in TEMPLATE.splitlines()]
    text = "\n".join(line for line in lines if not line.startswith("Check this file"))
    (folder / "all.toml").write_text(text, encoding="utf-8")
    assert run("policy", "check", "all.toml").code == 0


def test_init_never_overwrites_without_force(run, folder):
    before = (folder / "dualcontrol.toml").read_text(encoding="utf-8")
    assert run("init").code == 2
    assert (folder / "dualcontrol.toml").read_text(encoding="utf-8") == before
    assert run("init", "--force", "--json").json == {"file": "dualcontrol.toml"}
    assert (folder / "dualcontrol.toml").read_text(encoding="utf-8") != before
    assert run("init", "settings.yaml").code == 2


def test_config_show_names_every_origin_and_masks_secrets(run, monkeypatch):
    monkeypatch.setenv("DUALCONTROL_WEB__TOKEN", "t0ken-t0ken-t0ken")
    monkeypatch.setenv("DUALCONTROL_DATABASE__URL", "postgresql://me:pa55word@host/name")
    told = run("config", "show", "--json")
    assert "pa55word" not in told.out
    assert "t0ken" not in told.out
    assert told.json["loop.refunds.threshold"]["value"] == 0.9
    assert "dualcontrol.toml:" in told.json["loop.refunds.threshold"]["origin"]
    assert "DUALCONTROL_WEB__TOKEN" in told.json["web.token"]["origin"]
    shown = run("config", "show")
    assert "pa55word" not in shown.out
    assert "loop.refunds.threshold" in shown.out


def test_backup_is_a_sound_copy(run, refund, folder):
    case = refund()
    assert run("db", "backup", "copy.db").code == 0
    assert run("show", case, "--database", "sqlite:///copy.db").code == 0
    assert run("doctor", "--database", "sqlite:///copy.db").code == 0
    assert run("db", "backup", "copy.db").code == 2
    assert run("db", "backup", "copy.db", "--force", "--json").json["bytes"] > 0
    assert run("db", "backup", "nowhere/copy.db").code == 2


def test_upgrade_names_the_revision(run, refund):
    refund()
    assert run("db", "upgrade", "--json").json["revision"]


def test_a_newer_database_is_refused_with_a_way_out(run, refund, folder):
    refund()
    with sqlite3.connect(folder / "dualcontrol.db") as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    connection.close()
    result = run("inbox")
    assert result.code == 6
    assert "DC-SCHEMA" in result.err


def test_openapi_is_written(run, folder):
    assert run("openapi", "api.json").code == 0
    told = json.loads((folder / "api.json").read_text(encoding="utf-8"))
    assert told["openapi"].startswith("3.1")
    assert run("openapi").json == told
    assert not (folder / "dualcontrol.db").exists()


def test_serve_prints_its_address_answers_and_stops(folder):
    served = subprocess.Popen(
        [sys.executable, "-m", "dualcontrol", "serve", "--port", "0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        text = ""
        while not text.rstrip().endswith("}"):
            text += served.stdout.readline()
        told = json.loads(text)
        deadline = time.monotonic() + 20
        status = None
        while status is None and time.monotonic() < deadline:
            try:
                status = urllib.request.urlopen(told["url"], timeout=5).status
            except urllib.error.HTTPError as refused:
                status = refused.code
            except OSError:
                time.sleep(0.1)
        assert status in (200, 401, 403)
    finally:
        served.send_signal(signal.SIGINT)
        _, err = served.communicate(timeout=20)
    assert served.returncode == 0, err
    assert "Traceback" not in err


def test_serve_on_a_port_in_use_is_exit_code_2(run):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("serve", "--port", str(taken.getsockname()[1]))
    assert result.code == 2
    assert "DC-SERVE" in result.err


def test_train_says_what_is_missing(run, mail, folder):
    mail()
    assert run("train", "nope").code == 3
    result = run("train", "spam")
    assert result.code == 1
    assert "DC-MODEL" in result.err


def test_train_promotes_the_first_model(run, folder):
    pytest.importorskip("sklearn")
    import dualcontrol as dc

    text = (folder / "dualcontrol.toml").read_text(encoding="utf-8")
    text = text.replace(
        'labels = ["spam", "ham", 1, "2"]', 'labels = ["spam", "ham"]\nfeedback = { trainer = "sklearn" }'
    )
    (folder / "dualcontrol.toml").write_text(text, encoding="utf-8")
    with dc.open() as desk:
        loop = desk.loop("spam")
        for number in range(120):
            spam = number % 2 == 0
            words = "win a prize now" if spam else "see you at lunch"
            loop.propose(proposal="spam", input=f"{words} {number}", confidence=0.5)
            desk.claim("ana", loop).label("spam" if spam else "ham")
    result = run("train", "spam", "--json")
    assert result.code == 0
    assert result.json["trained"] > 50
    assert run("train", "spam").code == 0
    assert run("doctor").code == 0


def test_the_headless_demo_wants_no_json_without_headless(run):
    assert run("demo", "--json").code == 2


def test_a_guarantee_is_for_the_headless_demo(run):
    assert run("demo", "--guarantee").code == 2


def test_the_demo_hands_its_options_on(run, monkeypatch):
    seen = []
    monkeypatch.setattr("dualcontrol.demo.headless.main", lambda *a, **k: seen.append((a, k)))
    monkeypatch.setattr("dualcontrol.demo.runner.run_demo", lambda **k: seen.append(k))
    assert run("demo", "--headless", "--seed", "7", "--json", "--database", "sqlite:///d.db").code == 0
    assert run("demo", "--port", "0").code == 0
    assert seen[0] == ((7, "sqlite:///d.db"), {"as_json": True, "guarantee": False, "adjudicate": True})
    assert seen[1] == {"database": None, "host": "127.0.0.1", "port": 0, "seed": 0}


def test_a_database_without_its_revision_is_refused_by_every_door(run, refund, folder):
    refund()
    with sqlite3.connect(folder / "dualcontrol.db") as connection:
        connection.execute(f"DELETE FROM {VERSION_TABLE}")
    connection.close()
    for command in (("db", "upgrade"), ("inbox",)):
        result = run(*command)
        assert (result.code, "DC-SCHEMA" in result.err) == (6, True)
        assert "its row in dualcontrol_schema is missing" in result.err


def test_a_mistake_in_the_call_has_a_page(run):
    result = run("show")
    assert result.code == 2
    assert "more: dualcontrol explain DC-USAGE" in result.err
