"""Trust, checked before anything is loaded: of a model's file by the ledger, of a trainer by this program's settings.

Loading a model runs code.  Whoever can write into the database, or beside it, must not be able to choose which: the
ledger says which file was promoted and with which bytes, its path stays inside the folder of models, and a trainer of
somebody's own is imported only where the settings of this very program name it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from dualcontrol.case import ModelRow
from dualcontrol.errors import ModelError
from dualcontrol.events import Entry, ModelKept, ModelPromoted, ScoreChanged, link
from dualcontrol.learn.trainers import OWN, DeskPort, Trainer, trainer

FOLDER = "dualcontrol-models"
Recorded = ModelPromoted | ModelKept | ScoreChanged


class UnnamedTrainerError(ModelError):
    """The database names a trainer that the settings of this program do not name."""


def trusted(desk: DeskPort, name: str) -> Trainer:
    """The trainer of that name: one of ours, or one that the settings of this program name too."""
    if OWN.fullmatch(name) and name not in desk.trainers:
        raise UnnamedTrainerError(
            f"the database names the trainer {name!r}, and the settings of this program do not: it is not loaded",
            hint=f'If it is yours, set feedback = {{ trainer = "{name}" }} for the loop in this program\'s settings.',
        )
    return trainer(name)


def recorded(entries: list[Entry]) -> dict[str, Recorded]:
    """By version, what the entries of a loop say of its models; an event of an older version names no file."""
    events = (event for entry in entries for event in entry.events)
    return {event.model: event for event in events if isinstance(event, Recorded)}


def holds(entries: list[Entry]) -> bool:
    """Whether each entry of a stream has the hash of its bytes and of the entry before."""
    before = ""
    for entry in entries:
        if link(before, entry.body.encode()) != entry.hash:
            return False
        before = entry.hash
    return True


def model_folder(desk: DeskPort) -> Path:
    """Where the model files of a desk lie."""
    return Path(getattr(desk.settings, "models", None) or FOLDER)


def inside(folder: Path, name: str) -> Path | None:
    """The path of a file in the folder; None where the name, or a link on the way, leads out of it or to no file."""
    try:
        path, whole = (folder / name).resolve(), folder.resolve()
        sound = path.is_relative_to(whole) and (path.is_file() or not path.exists())
    except (OSError, ValueError, RuntimeError):  # links in a circle, a name that no file can have
        return None
    return path if sound else None


def unchanged(desk: DeskPort, row: ModelRow, words: str) -> bytes:
    """The bytes of the file that was put in force, whole and as the ledger has them; the error begins with `words`."""
    entries = desk.store.queries.entries(f"loop/{row.loop_id}", values=False)
    event = recorded(entries).get(row.version)
    why = "the hash chain of the loop does not hold" if not holds(entries) else unlike(row, event)
    if why is None and not isinstance(event, ModelPromoted | ScoreChanged):
        why = "the ledger does not say that it was put in force"
    if why is not None:
        raise ModelError(f"{words}{row.version} is not trusted: {why}; run `dualcontrol doctor`, or train again")
    again, path = f"put {row.path} back, or train again", inside(model_folder(desk), row.path)
    if path is None:
        raise ModelError(
            f"{words}{row.version} is not trusted: its path leads to no file in the folder of models; train again"
        )
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{words}{row.version} is missing: {again}") from error
    except OSError as error:
        raise ModelError(f"{words}{row.version} cannot be read ({error.strerror}): {again}") from error
    if hashlib.sha256(data).hexdigest() != row.sha256:
        raise ModelError(f"{words}{row.version} is not the one that was promoted, since its digest differs: {again}")
    return data


def unlike(row: ModelRow, event: Recorded | None) -> str | None:
    """Where a model's row differs from the ledger; None where it does not, or where the ledger names no file."""
    if event is None or event.sha256 is None:
        return None
    if row.sha256 != event.sha256:
        return "its row has another digest than the ledger"
    return "its row has another path than the ledger" if row.path != event.file else None
