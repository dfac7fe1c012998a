"""Labels that were there before the loop: every model trains on them, and its row names them.

They are kept in a file beside the models, named by its digest, so that any later training finds and verifies them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from dualcontrol.case import JSON, ModelRow, plain
from dualcontrol.control import Control
from dualcontrol.errors import ModelError
from dualcontrol.labels import Labels
from dualcontrol.learn.files import write
from dualcontrol.learn.ports import DeskPort
from dualcontrol.learn.risk_serving import RISK
from dualcontrol.learn.trusted import inside, model_folder


class StartSet(NamedTuple):
    """Inputs with their labels, and a sentence on where they come from."""

    source: str
    inputs: Sequence[JSON]
    labels: Sequence[JSON]

    def listed(self) -> StartSet:
        """The same with rows as lists of plain values, also where they came as arrays or with numbers of NumPy."""
        return StartSet(self.source, _listed(self.inputs), _listed(self.labels))

    def within(self, labels: Labels | None) -> StartSet:
        """The rows whose label is one of a set."""
        if labels is None:
            return self
        rows = labels.places(self.labels)
        return StartSet(self.source, [self.inputs[row] for row in rows], [labels.own(self.labels[row]) for row in rows])

    def to_bytes(self) -> bytes:
        """The file's content: JSON with sorted keys."""
        said = {"source": self.source, "inputs": list(self.inputs), "labels": list(self.labels)}
        return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


NOTHING = StartSet("", (), ())


def _listed(values: Any) -> list[JSON]:
    return list(plain(values.tolist() if hasattr(values, "tolist") else list(values)))


def keep(desk: DeskPort, start: StartSet) -> dict[str, JSON] | None:
    """Write the file of a start set; what a model's row says of it."""
    if not start.labels:
        return None
    data = start.to_bytes()
    digest = hashlib.sha256(data).hexdigest()
    path = model_folder(desk) / file_name(digest)
    if not path.exists():
        write(path, data)
    return {"source": start.source, "rows": len(start.labels), "sha256": digest}


def remembered(desk: DeskPort, control: Control) -> StartSet:
    """The start set of the loop's newest model; `ModelError` when its file is missing or altered."""
    rows: list[ModelRow] = desk.store.queries.models(control.loop_id)
    said = next((row.metrics.get("start") for row in rows if row.state != RISK), None)
    if not said:
        return NOTHING
    path = inside(model_folder(desk), file_name(said["sha256"]))
    if path is None:
        raise ModelError(f"the start labels of loop {control.loop!r} lie outside the folder of models")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the start labels of loop {control.loop!r} are missing ({type(error).__name__})") from error
    if hashlib.sha256(data).hexdigest() != said["sha256"]:
        raise ModelError(f"the start labels of loop {control.loop!r} are not those it began with: the digest differs")
    return StartSet(**json.loads(data))


def file_name(digest: str) -> str:
    """The name of the file of a start set."""
    return f"start-{digest[:16]}.json"
