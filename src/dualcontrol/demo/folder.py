"""A folder that an agent may work in: every path is checked on the way, and none leads outside or through a link."""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib import resources
from pathlib import Path, PurePosixPath, PureWindowsPath

LONGEST = 4_000


class OutsideError(ValueError):
    """A path that leads outside the folder, or through a link."""


class Folder:
    """Files by their path relative to the folder, with forward slashes."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve()

    def inside(self, name: str) -> Path:
        """The place of a relative path, each part of which has been looked at; `OutsideError` otherwise."""
        parts = PurePosixPath(name).parts
        strange = "\x00" in name or "\\" in name or bool(PureWindowsPath(name).drive)
        if not parts or strange or PurePosixPath(name).is_absolute() or ".." in parts:
            raise OutsideError(f"{name!r} leads outside the folder")
        place = self.root
        for part in parts:
            place = place / part
            if place.is_symlink():
                raise OutsideError(f"{name!r} leads through a link")
        return place

    def names(self) -> list[str]:
        """Every file, sorted; links and hidden files are left out."""
        found = []
        for folder, folders, files in os.walk(self.root, followlinks=False):
            folders[:] = [f for f in folders if not f.startswith(".")]
            places = (Path(folder) / name for name in files if not name.startswith("."))
            found += [p.relative_to(self.root).as_posix() for p in places if not p.is_symlink() and p.is_file()]
        return sorted(found)

    def read(self, name: str) -> str:
        """The beginning of a file as text."""
        with self._file(name).open("rb") as file:
            return file.read(LONGEST).decode("utf-8", "replace")

    def rename(self, name: str, to: str) -> str:
        """Move a file to a path that is free; returns that path."""
        source, target = self._file(name), self.inside(to)
        if target.exists():
            raise FileExistsError(f"{to!r} is there already")
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        return to

    def delete(self, name: str) -> str:
        """Delete a file; returns its path."""
        self._file(name).unlink()
        return name

    def _file(self, name: str) -> Path:
        place = self.inside(name)
        if not place.is_file():
            raise FileNotFoundError(f"there is no file {name!r}")
        return place


def copy_samples(root: str | os.PathLike[str]) -> Folder:
    """A folder with a copy of the files that the package ships; one that is there already stays as it is."""
    target = Path(root).absolute()
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".files-") as partial:
            whole = Path(partial) / "files"
            with resources.as_file(resources.files("dualcontrol.demo") / "files") as samples:
                shutil.copytree(samples, whole, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
            whole.rename(target)
    return Folder(target)
