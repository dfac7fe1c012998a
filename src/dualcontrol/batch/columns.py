"""Columns for batch routing: what callers hand in, as arrays that comparisons can run on, and rows as subjects."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import count
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dualcontrol.case import JSON, RISK_LEVELS, Signal, scalar
from dualcontrol.commands import missing, risk_level
from dualcontrol.errors import ProposalError, SignalError
from dualcontrol.names import same, written
from dualcontrol.route.rules import Subject

Array: TypeAlias = NDArray[Any]

ROOTS = ("args", "input", "meta")
FIXED = ("action", "input")
SIGNALS = ("confidence", "risk", "requires_approval", "segment", "scores")

CHUNK = 65_536  # rows at a time: a few columns and masks of this length fit into the second-level cache
_TEXT_TYPES = ("string", "large_string", "string_view", "utf8", "large_utf8")


class Coded(NamedTuple):
    """A column of text as integer codes into a list of categories; -1 stands for absent."""

    codes: Array
    categories: Sequence[str]


class Column(NamedTuple):
    """One column: numbers, flags, text (plain, or codes into labels) or anything else, and where it is absent."""

    kind: str
    data: Array
    absent: Array | None = None
    labels: tuple[str, ...] | None = None
    code_of: Mapping[str, int] = {}
    words: tuple[Array, ...] = ()

    def value(self, row: int) -> JSON:
        """The value in a row as plain JSON, None where it is absent."""
        if self.absent is not None and self.absent[row]:
            return None
        if self.labels is not None:
            return self.labels[self.data[row]]
        return scalar(self.data[row])

    def spellings(self, name: str) -> list[str]:
        """The texts of this column that are other spellings of a name; lower case without spaces is its own."""
        texts = self.labels if self.labels is not None else np.unique(self.data[_beyond(self, capitals=True)]).tolist()
        return [text for text in texts if text and same(text, name)]

    def spelled(self, text: str) -> list[Any]:
        """The words of a text in a column of fixed width; None for one that does not fit."""
        size = self.data.dtype.itemsize
        if len(text) * 4 > size:
            return [None] * len(self.words)
        return [word[0] for word in _words(np.array([text], dtype=self.data.dtype))]


def _words(data: Array) -> tuple[Array, ...]:
    """Text of fixed width as columns of whole numbers: equal texts have equal words."""
    size = data.dtype.itemsize
    wide = np.dtype(np.uint64 if size % 8 == 0 else np.uint32)
    table = data.view(wide).reshape(len(data), size // wide.itemsize)
    return tuple(table[:, place] for place in range(table.shape[1]))


def column(values: Any) -> Column:
    """A column from a NumPy array, masked or not, an Arrow array, codes with categories, or a sequence."""
    if hasattr(values, "codes") and hasattr(values, "categories"):
        return _coded(np.asarray(values.codes), list(values.categories))
    if hasattr(values, "is_null") and hasattr(values, "type"):
        return _from_arrow(values)
    if hasattr(values, "to_numpy"):
        return column(cells(values))
    if isinstance(values, np.ma.MaskedArray):
        return _with_absent(column(values.data), np.ma.getmaskarray(values))
    array = values if isinstance(values, np.ndarray) else _objects(values)
    if array.ndim != 1:
        raise ProposalError("a column is an array of one dimension")
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        return Column("flag", array)
    if kind == "i" or (kind == "u" and size < 8):
        return Column("number", array.astype(array.dtype.newbyteorder("="), copy=False))
    if kind == "u":
        small = not len(array) or int(array.max()) < 2**63
        return Column("number", array.astype(np.int64)) if small else Column("other", array)
    if kind == "f":
        return Column("number", array.astype(np.float32 if size < 8 else np.float64, copy=False))
    if kind == "U":
        data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
        return Column("text", data, words=_words(data))
    if kind == "T" and not hasattr(array.dtype, "na_object"):
        return Column("text", array)
    return _from_objects(array.astype(object, copy=False)) if kind in "OT" else Column("other", array)


def cells(values: Any) -> Any:
    """A column as a sequence of cells by place; what is marked as missing in Arrow or a data frame is None."""
    if hasattr(values, "to_pylist"):
        return values.to_pylist()
    if not hasattr(values, "to_numpy"):
        return values
    if hasattr(values, "isna") and not isinstance(values.dtype, np.dtype):  # a type of pandas's own, with gaps
        return values.to_numpy(dtype=object, na_value=None)
    return values.to_numpy()


def _objects(values: Any) -> Array:
    """An array of one dimension whatever the values are; lists of lists would give two."""
    array: Array = np.array([*values, None], dtype=object)[:-1]
    return array


def _with_absent(column: Column, absent: Array) -> Column:
    both = absent if column.absent is None else absent | column.absent
    return column._replace(absent=both if both.any() else None)


def _coded(codes: Array, categories: list[Any]) -> Column:
    if codes.dtype.kind not in "iu" or codes.max(initial=0) >= max(len(categories), 1):
        raise ProposalError("codes are whole numbers, each the place of a category, or -1")
    if not all(isinstance(label, str) for label in categories):
        return column(np.array([*categories, None], dtype=object)[codes])
    code_of = {label: place for place, label in reversed(list(enumerate(categories)))}
    if len(code_of) != len(categories):
        codes = np.array([code_of[label] for label in categories] + [-1], dtype=np.int64)[codes]
    absent = codes < 0 if codes.min(initial=0) < 0 else None
    return Column("text", codes, absent, tuple(map(str, categories)), code_of)


def _from_arrow(values: Any) -> Column:
    whole = values.combine_chunks() if hasattr(values, "combine_chunks") else values
    if str(whole.type) in _TEXT_TYPES:
        whole = whole.dictionary_encode()
    if hasattr(whole, "indices") and hasattr(whole, "dictionary"):
        codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return _coded(codes, whole.dictionary.to_pylist())
    absent = whole.is_null().to_numpy(zero_copy_only=False)
    if str(whole.type).startswith(("int", "uint", "float", "double", "halffloat", "bool")):
        if not absent.any():
            return column(whole.to_numpy(zero_copy_only=False))
        return _with_absent(column(whole.fill_null(False if str(whole.type) == "bool" else 0)), absent)
    return column(_objects(whole.to_pylist()))


_NO_NAME = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def _as_written(names: Column) -> Column:
    """A column of names with each as a single proposal's is kept; one that none may have is left to be refused."""

    def spelled(name: str) -> str:
        return name if _NO_NAME.search(name) else written(name)

    if names.labels is not None:
        labels = [spelled(label) for label in names.labels]
        return names if labels == list(names.labels) else _coded(names.data, labels)
    odd = _beyond(names)
    if not odd.any():
        return names
    texts = names.data.astype(object)
    texts[odd] = [spelled(text) for text in texts[odd]]
    return _numbered(texts)


def _beyond(names: Column, *, capitals: bool = False) -> Array:
    """The rows of a column of plain text that hold a space or a sign beyond ASCII; with `capitals`, or one of those."""
    if not names.words:
        return np.ones(len(names.data), np.bool_)
    odd = np.zeros(len(names.data), np.bool_)
    for start in range(0, len(odd), CHUNK):
        signs: Any = names.data[start : start + CHUNK].view(np.uint32).reshape(-1, names.data.dtype.itemsize // 4)
        bad = (signs > 126) | (signs - np.uint32(1) < 32)
        if capitals:
            bad |= signs - np.uint32(65) < 26
        odd[start : start + CHUNK] = bad.any(axis=1)
    return odd


_PLAIN: dict[Any, Any] = {bool: np.bool_, int: np.int64, float: np.float64}


def _from_objects(array: Array) -> Column:
    kinds = set(map(type, array))
    holes = type(None) in kinds
    kinds.discard(type(None))
    if kinds <= {str, np.str_}:
        return _numbered(array)
    absent = np.fromiter((value is None for value in array), np.bool_, len(array)) if holes else None
    kind: Any = kinds.pop() if len(kinds) == 1 else list
    if kind not in _PLAIN:
        return Column("other", array, absent)
    present = array if absent is None else np.where(absent, kind(), array)
    try:
        return Column("flag" if kind is bool else "number", present.astype(_PLAIN[kind]), absent)
    except OverflowError:
        return Column("other", array, absent)


def _numbered(array: Array) -> Column:
    """Text in an object array, each distinct text numbered once."""
    numbers: defaultdict[Any, int] = defaultdict(count().__next__)
    codes = np.fromiter(map(numbers.__getitem__, array), np.int64, len(array))
    labels = list(numbers)
    if None in numbers:
        place = numbers[None]
        codes = np.where(codes == place, -1, np.where(codes > place, codes - 1, codes))
        labels.remove(None)
    return _coded(codes.astype(np.int8 if len(labels) < 2**7 else np.int64), labels)


class Columns:
    """The columns of one batch by path, all of one length, and each row as a subject.

    `rows` says how many rows there are where no column is one that routing looks at.
    """

    def __init__(self, table: Any, rows: int = 0) -> None:
        if hasattr(table, "column_names"):
            table = {name: table[name] for name in table.column_names}
        self.by_path: dict[str, Column] = {}
        for name, values in table.items():
            _check_name(name)
            self.by_path[name] = column(values)
        lengths = {name: len(each.data) for name, each in self.by_path.items()}
        if len(set(lengths.values())) > 1:
            raise ProposalError(f"columns differ in length: {lengths}")
        self.rows = next(iter(lengths.values()), rows)
        args = [name for name in self.by_path if name.startswith("args.")]
        if args and "action" not in self.by_path:
            raise ProposalError(f"column {args[0]!r} needs a column 'action': without an action there are no args")
        self._drop_empty()
        self._fill()
        self._check_signals()

    def _drop_empty(self) -> None:
        """A column that no row has is no column."""
        for name, each in list(self.by_path.items()):
            if self.rows == 0 or (each.absent is not None and each.absent.all()):
                del self.by_path[name]

    def _fill(self) -> None:
        """An absent action is the empty text, as it is for a single case; approval not said to be required is not."""
        nothing = np.broadcast_to(np.int8(0), (self.rows,))
        action = self.by_path.get("action", Column("text", nothing, None, ("",), {"": 0}))
        if action.kind != "text":
            raise ProposalError("column 'action' is not text")
        if action.absent is not None:
            action = _numbered(_objects([action.value(row) or "" for row in range(self.rows)]))
        self.by_path["action"] = _as_written(action)
        approval = self.by_path.get("signal.requires_approval")
        self.asks_approval = approval is not None
        if approval is None:
            approval = Column("flag", nothing.view(np.bool_))
        if approval.kind != "flag":
            raise ProposalError("column 'signal.requires_approval' is not true or false")
        if approval.absent is not None:
            approval = Column("flag", approval.data & ~approval.absent)
        self.by_path["signal.requires_approval"] = approval

    def without_gaps(self) -> None:
        """A confidence of NaN is none: so tables write a number that is missing."""
        confidence = self.by_path["signal.confidence"]
        gaps = np.isnan(confidence.data)
        filled = confidence._replace(data=np.where(gaps, confidence.data.dtype.type(0), confidence.data))
        self.by_path["signal.confidence"] = _with_absent(filled, gaps)
        self._drop_empty()

    def _check_signals(self) -> None:
        """Confidence as numbers, risk as text or numbers; anything else is refused with its row."""
        segment, confidence = self.get("signal.segment"), self.get("signal.confidence")
        if segment is not None and segment.kind != "text":
            raise SignalError("column 'signal.segment' is not text")
        if confidence is not None and confidence.kind != "number":
            self.by_path["signal.confidence"] = _numbers(confidence, "confidence is not a number from 0 to 1", ())
        self.risk = self.get("signal.risk")
        if self.risk is not None and self.risk.kind not in ("text", "number"):
            self.risk = _numbers(self.risk, "risk is neither a level nor a number", (str,))

    def get(self, path: str) -> Column | None:
        """The column of a path."""
        return self.by_path.get(path)

    def is_flat(self, path: str) -> bool:
        """Whether no other column lies above or below this path, so that it stands for itself."""
        above = {path[:at] for at, sign in enumerate(path) if sign == "."}
        return not any(name in above or name.startswith(path + ".") for name in self.by_path)

    def row(self, row: int, proposed: bool = True) -> Subject:
        """One row as the subject of a single case."""
        values: dict[str, Any] = {"args": {}, "input": {}, "meta": {}, "signal": {}}
        for path, each in self.by_path.items():
            value = each.value(row)
            if value is None:
                continue
            *above, last = path.split(".")
            inside = values
            for name in above:
                if not isinstance(inside.get(name), dict):
                    inside[name] = {}
                inside = inside[name]
            inside[last] = value
        action = values.get("action", "")
        args = values["args"] if action else {}
        return Subject(action, args, values["input"], Signal(**values["signal"]), values["meta"], proposed)


def _numbers(mixed: Column, what: str, also: tuple[type, ...]) -> Column:
    """A column of mixed values as numbers, risk levels on their scale, and NaN for an unknown level."""
    numbers = np.full(len(mixed.data), math.nan)
    for row in range(len(mixed.data)):
        value = mixed.value(row)
        if isinstance(value, bool) or not (isinstance(value, (Real, *also)) or missing(value)):
            raise SignalError(f"row {row}: {what}", row=row)
        if isinstance(value, str):
            numbers[row] = RISK_LEVELS.get(value, math.nan)
        elif not missing(value) and abs(value) <= 1:
            numbers[row] = float(value)
    return Column("number", numbers, mixed.absent)


def _check_name(name: str) -> None:
    root, _, rest = name.partition(".")
    if name in FIXED or (root in ROOTS and rest) or (root == "signal" and rest in SIGNALS):
        return
    known = [*FIXED, "args.NAME", "input.NAME", "meta.NAME", *(f"signal.{one}" for one in SIGNALS)]
    near = get_close_matches(name, known, n=1, cutoff=0.5) or get_close_matches(f"signal.{name}", known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Columns are named {', '.join(known)}."
    raise ProposalError(f"column {name!r} is not one that routing knows", hint=hint)


# Numeric columns: exact comparisons with a number in the column's own type, and quick looks for NaN.
#
# A column of 32-bit floats compared with 0.9 must give what CEL gives on each value as a double; the bound is
# moved to the neighbouring value of the column's type instead of converting the column.


EXACT = 2**53
_BITS = {4: (np.uint32, 0x3F80_0000, 0x7F80_0000), 8: (np.uint64, 0x3FF0 << 48, 0x7FF0 << 48)}
_SENSE = {"<": -1, "<=": -1, ">": 1, ">=": 1}


def bound(op: str, kind: Any, value: int | float) -> tuple[str, Any] | bool:
    """The comparison to run on a column of type `kind`, or True or False where it holds for all rows or none."""
    equality = op in ("==", "!=")
    if kind.kind == "f" and kind.itemsize == 8:
        return op, np.float64(value)
    if kind.kind == "f":
        value = float(value)
        with np.errstate(over="ignore"):
            near = np.float32(value)
        below = float(near) < value
        if equality or float(near) == value:
            return (op, near) if float(near) == value else op == "!="
        if _SENSE[op] < 0:
            return "<=", near if below else np.nextafter(near, np.float32(-np.inf))
        return ">=", np.nextafter(near, np.float32(np.inf)) if below else near
    if isinstance(value, float):
        if kind.itemsize == 8 and abs(value) >= EXACT:
            return op, np.float64(value)
        if value.is_integer():
            value = int(value)
        elif equality:
            return op == "!="
        else:
            op, value = ("<=", math.floor(value)) if _SENSE[op] < 0 else (">=", math.ceil(value))
    limits = np.iinfo(kind)
    if limits.min <= value <= limits.max:
        return op, kind.type(value)
    return op == "!=" if equality else (_SENSE[op] < 0) is (value > limits.max)


def all_shares(part: Any) -> bool:
    """Whether all numbers are from 0 to 1; NaN is not."""
    if part.dtype.kind == "f":
        bits, one, _ = _BITS[part.dtype.itemsize]
        if np.maximum.reduce(part.view(bits)) <= one:
            return True
    return bool(np.minimum.reduce(part) >= 0 and np.maximum.reduce(part) <= 1)


def any_nan(part: Any) -> bool:
    """Whether a number is NaN; as whole numbers, the bits of NaN and of negative numbers are above infinity's."""
    bits, _, infinity = _BITS[part.dtype.itemsize]
    return bool(np.maximum.reduce(part.view(bits)) > infinity and np.isnan(np.minimum.reduce(part)))


# The risks of a batch that are text: each distinct one is checked once, as a single proposal's is.


INITIALS = tuple(ord(level[0]) for level in RISK_LEVELS)


def check_levels(risk: Column | None) -> None:
    """Refuse a text that no single proposal may give as its risk, and name the first row that has it."""
    first: dict[str, int] = {}  # each distinct text that may be no level, with the first row it stands in
    if risk is None or risk.kind not in ("text", "other"):
        return
    if risk.labels is not None:
        for place, text in enumerate(risk.labels):
            if text not in RISK_LEVELS and (rows := risk.data == place).any():
                first[text] = int(np.argmax(rows))
    else:
        rows = np.arange(len(risk.data))
        if risk.words:  # those that begin like no level, by their first sign: no text is made for the others
            rows = np.flatnonzero(~np.isin(risk.data.view(np.uint32).reshape(len(risk.data), -1)[:, 0], INITIALS))
        values = ((row, risk.value(row)) for row in reversed(rows.tolist()))
        first = {text: row for row, text in values if isinstance(text, str)}
    for text, row in first.items():
        try:
            risk_level(text)
        except SignalError as error:
            raise SignalError(f"row {row}: {error.message}", row=row) from None
