"""Migrations, shipped with the package and run by `dualcontrol db upgrade`."""

from __future__ import annotations


def upgrade_to_head(url: str) -> str:
    """Bring a database to this program's revision; returns it."""
    raise NotImplementedError(url)
