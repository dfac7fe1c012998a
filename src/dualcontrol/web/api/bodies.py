"""Request bodies: strict types, no unknown fields, JSON content left as it is.

They stand beside the core's commands, which say what a case can bear; the bounds, the descriptions and the words of a
refusal here are those of the HTTP API.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from dualcontrol.case import JSON
from dualcontrol.verdicts import Verdict

Unit = Annotated[float, Field(ge=0, le=1)]
EDGE, INNER = r"[^\x00-\x20\x7f-\xa0]", r"[^\x00-\x1f\x7f-\x9f]"
Person = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=rf"^{EDGE}({INNER}*{EDGE})?$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Seconds = Annotated[float, Field(ge=0.001, le=2_592_000)]
Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,3}(ms|s|m|h|d)$")]
Risk = Literal["low", "medium", "high", "critical"] | Unit
Whole = Annotated[  # 1.0 is an integer in JSON; anything else that is not one stays what it is
    int, Field(ge=0, le=2**53),
    BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value),
]  # fmt: skip


class Body(BaseModel):
    """A request body: types are never converted, an unknown field is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, validate_by_alias=True)

    def stated(self) -> dict[str, Any]:
        """The fields that the JSON states, by their names in it, their values untouched."""
        names = {name: field.alias or name for name, field in type(self).model_fields.items()}
        return {names[name]: getattr(self, name) for name in self.model_fields_set}


class Proposal(Body):
    """What the AI wants to do or say, with its context and its decision signal."""

    action: Name | None = Field(None, description="What to do; `args` are its arguments.")
    args: JSON = None
    proposal: JSON = Field(None, description="Stands for action and args where there is no action.")
    input: JSON = Field(None, description="What the AI was given.")
    alternatives: list[JSON] | None = Field(
        None, description="What else it considered; an empty list counts as context."
    )
    candidates: list[JSON] | None = Field(None, description="Stands for both where nothing is proposed (preference).")
    schema_: dict[str, JSON] | None = Field(None, alias="schema", description="JSON Schema of args or proposal.")
    source: dict[str, JSON] | None = None
    confidence: Unit | None = None
    risk: Risk | None = None
    requires_approval: bool = False
    scores: list[Unit] | dict[str, Unit] | None = None
    segment: Name | None = None
    rationale: str | None = None
    history: JSON = None
    meta: dict[str, JSON] | None = None
    key: str | None = Field(None, min_length=1, max_length=65_536, description="Same key, same content: the same case.")
    run: Name | None = None
    owner: Person | None = Field(None, description="Who proposes; may not review the case.")
    parent: Name | None = None
    origin: Literal["live", "import", "shadow"] = "live"
    effect: Literal["none", "ready"] | None = None


class Claiming(Body):
    """What the bearer wants to review."""

    person: Person | None = Field(None, description="The bearer, if given: nobody acts for somebody else.")
    loop: Name | None = None
    case: Name | None = Field(None, description="The id of a case: a review of that very one.")
    lease: Duration | Seconds | None = Field(
        None, description='How long the review is held: seconds, or text such as "10m".'
    )


class Extending(Body):
    """For how long to hold a claim from now on."""

    time: Duration | Seconds


class Committing(Body):
    """What a reviewer says of an action before seeing it."""

    should: Literal["happen", "not"] = Field(description="Whether it should happen.")
    to: JSON = Field(None, description="To whom or to what: text or JSON.")


class Answering(Body):
    """What a reviewer says."""

    person: Person | None = Field(None, description="The bearer, if given.")
    verdict: Verdict
    value: JSON = None
    rationale: str | None = None
    reasons: list[Name] = []
    confidence: Unit | None = None
    first: JSON = Field(None, description="What the reviewer said before seeing the proposal: {verdict, value}.")
    lasts: Duration | Seconds | None = Field(
        None, description="How long an approval or edit holds: what has not begun by then is asked again."
    )


class Withdrawing(Body):
    """Who no longer wants an answer."""

    by: Person = "program"


class Running(Body):
    """What is about to run."""

    action: Name
    args: JSON


class Starting(Body):
    """Who runs the effect, and what, where that is to be held against what was decided."""

    owner: Name = "http"
    runs: Annotated[Running | None, Field(description="Refused with 409 when it is not what was decided.")] = None
    asks: Annotated[
        dict[str, JSON] | None,
        Field(description="What the program says of what people changed: confidence, risk, segment, input, meta."),
    ] = None


class Recalling(Body):
    """Why a program cannot run what people decided."""

    reason: Name


class Reason(Body):
    """Why everything is stopped, or opened again; who says so is whose token it is."""

    person: Person | None = Field(None, description="The bearer, if given.")
    because: Annotated[Name, Field(description="Why; it is recorded, and shown to everybody who waits.")]


class Moving(Body):
    """Who is suspended from a loop, or readmitted, and why; who says so is whose token it is."""

    person: Person | None = Field(None, description="The bearer, if given.")
    reviewer: Person = Field(description="Whom it is about; never the bearer.")
    because: Annotated[Name, Field(description="Why; it is recorded, and shown to the reviewer.")]


class Stopping(Body):
    """Why a loop's autopilot is stopped."""

    person: Person | None = Field(None, description="The bearer, if given.")
    because: Annotated[Name, Field(description="Why; it stands in the reason of each route.")]
    segment: str = Field("", max_length=200, description="Only this segment; empty for the whole loop.")


class Opening(Stopping):
    """Why a loop's autopilot is opened again that a person had stopped."""

    because: Annotated[str, Field(max_length=200, description="Why.")] = ""


class Overriding(Body):
    """The value to lay over the file's; who lays it is who asks."""

    value: JSON = Field(description="Checked as the file's is; null is the default.")
    instead_of: JSON = Field(None, description="The value that was seen in force: another one is not replaced.")


class Revoking(Body):
    """Why an approval is taken back."""

    person: Person | None = Field(None, description="The bearer, if given.")
    rationale: str | None = None


class Finishing(Body):
    """How a started effect ended."""

    fence: Whole
    succeeded: bool
    result: JSON = None
    error: str | None = None
    ran: bool = Field(True, description="False where it failed and certainly nothing happened: it may be made ready.")
    kept: bool = Field(True, description="False where it succeeded with a result that JSON cannot hold.")


class Resolving(Body):
    """What somebody found who looked whether a lost effect happened."""

    happened: bool
    by: Person | None = Field(None, description="The bearer, if given.")
    result: JSON = None
