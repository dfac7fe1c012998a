"""The fixtures that other tests build on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import create_engine, text

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_database_url_leads_to_an_empty_database(database_url: str, request: pytest.FixtureRequest) -> None:
    url = database_url.replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (n INTEGER)"))
        assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 0
    engine.dispose()
    assert request.node.callspec.id in {"memory", "sqlite", "postgres"}


@pytest.mark.postgres
def test_postgres_url_needs_no_password(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.browser
def test_page_runs_scripts(page: Page) -> None:
    page.set_content("<title>before</title><script>document.title = 'after'</script>")
    assert page.title() == "after"
