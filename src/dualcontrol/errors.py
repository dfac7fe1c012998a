"""Every exception of dualcontrol; the code of each is also its page in ``docs/errors``.

They stay in one file, long as it is: a catalogue is looked up by code, word and hint, and drawn as one tree.

::

    DualcontrolError
    ├── ProposalError
    │   ├── ContextError             context fields the loop requires are missing
    │   ├── SignalError              confidence, risk or scores that mean nothing
    │   ├── PayloadError             content that is not JSON (NaN, objects, lone surrogates)
    │   │   └── PayloadTooLargeError
    │   ├── KeyConflictError         a key reused with other content
    │   └── KeyFormatError
    ├── AnswerError
    │   ├── VerdictError             the mode does not know this verdict
    │   ├── AnswerValueError         an edit, response or ranking of the wrong type
    │   │   └── LabelError           a label outside the set
    │   ├── CommitError              the review asks for a commitment first, or for none
    │   ├── TooSoonError             an answer on a page before anybody could have seen it
    │   ├── RationaleError           the loop requires a reason
    │   ├── ClaimError               the claim is not held (never taken, released, expired)
    │   ├── SettledError             the review or case is settled already
    │   ├── BlockedError             the edited action meets a block rule
    │   ├── SamePersonError          one person may not answer a case twice
    │   ├── EligibilityError         this person may not review here
    │   │   ├── TrainingError        until their training cases are done
    │   │   ├── SuspendedError       until a lead lets them
    │   │   └── CapError             until less than 24 hours hold so many answers of theirs
    │   └── EscalationError          nobody above to escalate to
    ├── SettingsError                a mistake in settings, with file, line and the nearest right name
    │   ├── RuleError                a routing rule that cannot be loaded
    │   ├── QuorumError              a quorum that its group cannot fill
    │   └── OverrideError            the file says otherwise under what a person laid over it
    ├── NotFoundError
    │   ├── UnknownLoopError
    │   └── UnknownCaseError
    ├── ConflictError                somebody else changed the case at the same moment
    ├── ErasedError                  the content behind a key or a case was erased
    ├── ReadOnlyError                the case holds an event this version does not know
    ├── EffectError
    │   ├── EffectTakenError         the effect is already started elsewhere or done
    │   ├── EffectUnknownError       started, and nobody knows whether it happened
    │   ├── EffectDiffersError       what would run is not what was decided
    │   ├── RecalledError            what is in force now asks people, so the effect may not begin
    │   ├── StoppedError             a person stopped the loop: nothing runs until it is opened again
    │   └── ResultError              the stored result of an effect is not there to return
    ├── NotStoppedError              what is to be opened again is not stopped
    ├── PartialStopError             some loops took a stop, or its end, and some did not
    ├── RequestError                 an HTTP request that does not fit its address
    │   ├── FileError                a file of rows that cannot be read as what it is taken for
    │   └── ArgumentError            an argument by a name that the verb does not know
    ├── RunRequiredError             a gate that is called outside a run and may not be
    ├── RunChangedError              the program of a run calls otherwise than when it was decided
    ├── AccessError                  no token, wrong origin, not allowed
    │   ├── RoleError                a role that does not include this
    │   ├── ScopeError               a token that is not good for this
    │   ├── SignInError              a wrong password, an old link, an answer of a provider that does not fit
    │   ├── StepUpError              this takes a fresh sign-in
    │   └── TooManyAttemptsError     too many wrong tokens; soon the next is looked at
    ├── ProviderError                the provider of sign-in does not answer, or not as one
    ├── AccountError                 an account, role, group or token that cannot be so
    ├── StoreError
    │   ├── StoreUnavailableError
    │   │   ├── StoreLostError       the open file was deleted or replaced, or this is a forked process
    │   │   └── StoreDamagedError    the file is no sound database
    │   ├── StoreFullError
    │   ├── SchemaError              the database is of another (newer) version
    │   └── LedgerError              the hash chain or the fold does not hold
    ├── ServeError                   the console cannot start here (port, second server)
    ├── ModelError                   a model cannot be trained, loaded or trusted
    ├── CalibrationError             scores and truths that carry no promise on error
    ├── GuaranteeError               evidence that cannot be counted, or a promise that cannot be made
    ├── ImportRefusedError           a file of answers that cannot be taken in
    ├── MissingExtraError            an optional package is not installed
    ├── NotRun                       raised by an effect that has done nothing yet
    ├── Rejected                     a gate was answered with no
    └── TimedOut                     a gate ran out of its response time

    Paused (BaseException)           not an error: the program waits for a human
    └── Pending                      the case stays open; ask again later
        └── PendingInPool            the same inside multiprocessing.Pool, an Exception as well
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar


class DualcontrolError(Exception):
    """Something went wrong in dualcontrol."""

    code: ClassVar[str] = "DC-ERROR"
    hint: str = "Run `dualcontrol doctor` and read the message above."
    exit_code: ClassVar[int] = 1
    status: ClassVar[int] = 400

    def __init__(self, message: str | None = None, *, hint: str | None = None, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or self.code).strip().splitlines()[0]
        if hint is not None:
            self.hint = hint
        self.details = details
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}] {self.hint}".rstrip()

    def to_dict(self) -> dict[str, Any]:
        """The error as plain JSON values: code, message, hint and its details."""
        return {"code": self.code, "message": self.message, "hint": self.hint, **self.details}


class ProposalError(DualcontrolError):
    """The proposal cannot be taken as it is."""

    code = "DC-PROPOSAL"
    hint = "Correct the proposal and send it again; nothing was written."
    status = 422


class ContextError(ProposalError):
    """The proposal lacks context that the loop requires."""

    code = "DC-CONTEXT"
    hint = "Give the missing fields, or lower `context` for this loop."


class SignalError(ProposalError):
    """The decision signal is not one."""

    code = "DC-SIGNAL"
    hint = "confidence and scores are numbers from 0 to 1; risk is low, medium, high, critical or a number from 0 to 1."


class PayloadError(ProposalError):
    """The content is not JSON."""

    code = "DC-PAYLOAD"
    hint = (
        "Send JSON values only: None where one is missing, not NaN or infinity; times as ISO text; "
        "no objects of your own; text that UTF-8 can carry."
    )


class PayloadTooLargeError(PayloadError):
    """The content is larger than 1 MiB."""

    code = "DC-PAYLOAD-SIZE"
    hint = "Send a reference (an address, a file id) in place of the content itself."
    status = 413


class KeyConflictError(ProposalError):
    """The key belongs to a case with other content."""

    code = "DC-KEY-CONFLICT"
    hint = "Use another key for other content; with the same key send the same action, args and input."
    exit_code = 4
    status = 409


class KeyFormatError(ProposalError):
    """The key cannot be used."""

    code = "DC-KEY-FORMAT"
    hint = "A key is a non-empty string of at most 65,536 characters."


class AnswerError(DualcontrolError):
    """The answer cannot be taken."""

    code = "DC-ANSWER"
    hint = "Correct the answer and send it again; nothing was written."
    status = 422


class VerdictError(AnswerError):
    """This verdict is not legal in the loop's mode."""

    code = "DC-VERDICT"
    hint = "Use one of the verdicts named in the message."


class AnswerValueError(AnswerError):
    """The answer's value does not fit."""

    code = "DC-ANSWER-VALUE"
    hint = "Give a value that fits the schema named in the message; types are kept, never converted."


class LabelError(AnswerValueError):
    """The label is not one of the loop's labels."""

    code = "DC-LABEL"
    hint = "Use one of the labels named in the message."


class CommitError(AnswerError):
    """The review asks for a commitment before the answer."""

    code = "DC-COMMIT"
    hint = (
        'Say first whether it should happen and to whom, with `claim.commit("happen", to=…)`; then see it and answer.'
    )


class TooSoonError(AnswerError):
    """The answer came before anybody could have seen the page."""

    code = "DC-TOO-SOON"
    hint = "Nothing was taken: look at the case, and answer then."


class RationaleError(AnswerError):
    """This loop requires a reason for this verdict."""

    code = "DC-RATIONALE"
    hint = 'Say why in `rationale`, or set `rationale = "optional"` for the loop.'


class ClaimError(AnswerError):
    """The claim is not held."""

    code = "DC-CLAIM"
    hint = "Claim the next review and answer with that claim's id."
    exit_code = 4
    status = 409


class SettledError(AnswerError):
    """This is settled already."""

    code = "DC-SETTLED"
    hint = "Look at the decision with `dualcontrol show`; nothing was changed."
    exit_code = 4
    status = 409


class BlockedError(AnswerError):
    """The edited action meets a rule that blocks it."""

    code = "DC-BLOCKED"
    hint = "Edit the action so that no block rule applies, or reject it."


class SamePersonError(AnswerError):
    """The same person may not answer a case twice."""

    code = "DC-SAME-PERSON"
    hint = "Another person has to take this review."
    exit_code = 4
    status = 409


class EligibilityError(AnswerError):
    """This person may not review this case."""

    code = "DC-ELIGIBILITY"
    hint = "The proposer of a case does not review it, and a group's reviews are for its members."
    status = 403


class TrainingError(EligibilityError):
    """This person gets training cases, and no others, until these are done."""

    code = "DC-TRAINING"
    hint = "Answer the training cases first; the next claim gives one of them."


class SuspendedError(EligibilityError):
    """This person takes no cases in this loop until a lead lets them."""

    code = "DC-SUSPENDED"
    hint = "A lead ends it: `dualcontrol readmit LOOP REVIEWER --because TEXT`; until then others take the cases."


class CapError(EligibilityError):
    """This person has answered as many cases in 24 hours as the loop allows."""

    code = "DC-CAP"
    hint = "Let somebody else take it, or come back later: what is older than 24 hours no longer counts."


class EscalationError(AnswerError):
    """There is nobody above to escalate to."""

    code = "DC-ESCALATION"
    hint = "Name a group in `escalate`, or set `quorum.arbiter` for the loop."


class SettingsError(DualcontrolError):
    """The settings hold a mistake."""

    code = "DC-SETTINGS"
    hint = "Correct the line named in the message."
    exit_code = 2
    status = 422


class RuleError(SettingsError):
    """A routing rule cannot be loaded."""

    code = "DC-RULE"
    hint = "A rule's `when` is a CEL expression over action, args, input, signal and meta that yields true or false."


class QuorumError(SettingsError):
    """The quorum asks for more people than its group has."""

    code = "DC-QUORUM"
    hint = "Lower `quorum.answers`, or add members to the group."


class OverrideError(SettingsError):
    """The settings are others under what a person laid over them."""

    code = "DC-OVERRIDE"
    hint = "Drop the override with `dualcontrol policy drop LOOP KEY`, or let the settings say what they did."
    status = 409


class NotFoundError(DualcontrolError):
    """Nothing is known by that name."""

    code = "DC-NOT-FOUND"
    hint = "Check the name or id; `dualcontrol inbox` lists what is open."
    exit_code = 3
    status = 404


class UnknownLoopError(NotFoundError):
    """No loop has that name."""

    code = "DC-LOOP"
    hint = "Define it as [loop.NAME] in dualcontrol.toml, or give its settings as keyword arguments."


class UnknownCaseError(NotFoundError):
    """No case has that id."""

    code = "DC-CASE"


class ConflictError(DualcontrolError):
    """Others kept changing this case at the same moment."""

    code = "DC-CONFLICT"
    hint = "Nothing was written; send the same request again."
    exit_code = 4
    status = 409


class ErasedError(DualcontrolError):
    """The content of this case was erased."""

    code = "DC-ERASED"
    hint = "It is never run again under this key; use another key for new work."
    status = 410


class ReadOnlyError(DualcontrolError):
    """The case holds an event that this version does not know."""

    code = "DC-READ-ONLY"
    hint = "Upgrade dualcontrol; until then the case can be read, not changed."
    status = 409


class EffectError(DualcontrolError):
    """The effect cannot be run."""

    code = "DC-EFFECT"
    exit_code = 4
    status = 409


class EffectTakenError(EffectError):
    """The effect has been started elsewhere or is done."""

    code = "DC-EFFECT-TAKEN"
    hint = "Wait for the outcome; an effect is started once."


class EffectUnknownError(EffectError):
    """The effect was started and nobody knows whether it happened."""

    code = "DC-EFFECT-UNKNOWN"
    hint = "Look whether it happened, then say so: `dualcontrol resolve CASE --happened` or `--did-not-happen`."


class EffectDiffersError(EffectError):
    """What would run is not what was decided."""

    code = "DC-EFFECT-DIFFERS"
    hint = "Nothing was run. Read the decided arguments from the outcome and run those, or propose the others."


class RecalledError(EffectError):
    """The case went back to people before its effect began."""

    code = "DC-RECALLED"
    hint = "Nothing was run. Wait for the outcome as before: people are asked what is lacking."


class StoppedError(EffectError):
    """A person has stopped the loop."""

    code = "DC-STOPPED"
    hint = (
        "Nothing was run, and the case stays ready: it can run once a lead opens the loop again, `dualcontrol resume`."
    )


class ResultError(EffectError):
    """The effect ran, but its result was not kept."""

    code = "DC-RESULT"
    hint = "Return JSON values from a gated function, so that its result can be given back after a restart."


class NotStoppedError(DualcontrolError):
    """This is not stopped."""

    code = "DC-NOT-STOPPED"
    hint = "Nothing was changed. `dualcontrol doctor` lists what is stopped, by whom and why."
    exit_code = 4
    status = 409


class PartialStopError(DualcontrolError):
    """Some loops took it, and some did not."""

    code = "DC-PARTIAL-STOP"
    hint = "Send it again: a loop that has taken it stays as it is."
    exit_code = 6
    status = 503


class RequestError(DualcontrolError):
    """The request does not fit."""

    code = "DC-REQUEST"
    hint = "Correct what the message names; /api/v1/openapi.json describes every request."
    status = 422


class FileError(RequestError):
    """A file of rows cannot be read as what it is taken for."""

    code = "DC-FILE"
    hint = "Mend the file where the message says, or name another."
    exit_code = 2


class ArgumentError(RequestError, TypeError):
    """This verb has no argument of that name."""

    code = "DC-ARGUMENT"
    hint = "Use the name that the message gives; `help()` on the verb lists them all."


class RunRequiredError(DualcontrolError):
    """This gate is called inside a run only."""

    code = "DC-RUN-REQUIRED"
    hint = "Call it inside `with desk.run(name) as run:`; give threads run.bind(function) or run.executor(pool)."


class RunChangedError(DualcontrolError):
    """The program of this run has changed since the case was opened."""

    code = "DC-RUN-CHANGED"
    hint = (
        "Nothing was run. Call it as it was decided, or take the case back (`dualcontrol withdraw`, or `revoke` when "
        "it was approved): then the new call is asked anew."
    )
    exit_code = 4
    status = 409


class AccessError(DualcontrolError):
    """You may not do this."""

    code = "DC-ACCESS"
    hint = "Open the console with the address that `dualcontrol serve` printed, or send its token."
    status = 403


class RoleError(AccessError):
    """Your roles do not include this."""

    code = "DC-ROLE"
    hint = "An admin gives roles: `dualcontrol users grant NAME ROLE`; `docs/roles.md` says what each role may do."


class ScopeError(AccessError):
    """The token is not good for this."""

    code = "DC-SCOPE"
    hint = "Sign in, or ask an admin for a token with the right scope and loops: `dualcontrol keys new`."


class SignInError(AccessError):
    """The sign-in was refused."""

    code = "DC-SIGNIN"
    hint = "Nobody was signed in; try again. An admin can send a new link: `dualcontrol users recover NAME`."


class StepUpError(AccessError):
    """This takes a fresh sign-in, because much depends on it."""

    code = "DC-STEP-UP"
    hint = "Sign in again; what you entered is kept on the page."
    status = 401


class AccountError(DualcontrolError):
    """An account, a role, a group or a token cannot be what it was asked to be."""

    code = "DC-ACCOUNT"
    hint = "`dualcontrol users` lists the accounts with their roles."
    status = 409


class TooManyAttemptsError(AccessError):
    """Too many wrong passwords or tokens were tried."""

    code = "DC-ATTEMPTS"
    hint = "Wait, then send the right one; sessions, and programs that have sent it before, are let in meanwhile."
    status = 429


class ProviderError(DualcontrolError):
    """The provider of sign-in cannot be used."""

    code = "DC-PROVIDER"
    hint = "Who is signed in goes on; sign in with a password, or try again later."
    status = 503


class StoreError(DualcontrolError):
    """The database refused."""

    code = "DC-STORE"
    exit_code = 6
    status = 503


class StoreUnavailableError(StoreError):
    """The database cannot be reached."""

    code = "DC-STORE-UNAVAILABLE"
    hint = "Check that it runs and that database.url is right; nothing acknowledged is lost."


class StoreLostError(StoreUnavailableError):
    """The database that was opened is no longer the one at its address."""

    code = "DC-STORE-LOST"
    hint = "Put the file back, or open the desk again on the file that is there now."


class StoreDamagedError(StoreUnavailableError):
    """The database file is damaged."""

    code = "DC-STORE-DAMAGED"
    hint = "Stop all programs, keep a copy of the file, run `dualcontrol doctor`, and restore the newest sound backup."


class StoreFullError(StoreError):
    """The database is full."""

    code = "DC-STORE-FULL"
    hint = "Free disk space or raise the limit; what was acknowledged is safe, this request was not written."


class SchemaError(StoreError):
    """The database is of another version than this program."""

    code = "DC-SCHEMA"
    hint = "Upgrade dualcontrol, or run `dualcontrol db upgrade` if the database is the older one."


class LedgerError(StoreError):
    """The evidence does not hold together."""

    code = "DC-LEDGER"
    hint = "Run `dualcontrol doctor`; it names the case and the sequence number."
    exit_code = 1


class ServeError(DualcontrolError):
    """The console cannot start here."""

    code = "DC-SERVE"
    hint = "Choose another port with --port, or stop the other server."
    exit_code = 2


class ModelError(DualcontrolError):
    """The model cannot be used."""

    code = "DC-MODEL"
    hint = "Train again with `dualcontrol train LOOP`; until then every case goes to a human."


class GuaranteeError(DualcontrolError):
    """A promise that cannot be made, or a label that cannot be counted as evidence for it."""

    code = "DC-GUARANTEE"
    hint = "Correct what the message names; nothing was counted, and everything keeps its state."


class CalibrationError(DualcontrolError, ValueError):
    """There is nothing here to calibrate on."""

    code = "DC-CALIBRATION"
    hint = "Give one finite score and one truth for each row, and a promise between 0 and 1."
    exit_code = 2
    status = 422


class ImportRefusedError(DualcontrolError):
    """The file cannot be taken in."""

    code = "DC-IMPORT"
    hint = "Correct the line named in the message; lines already imported are skipped the next time."


class MissingExtraError(DualcontrolError):
    """An optional package is not installed."""

    code = "DC-EXTRA"
    hint = "Install the extra named in the message."
    exit_code = 2


class NotRun(DualcontrolError):
    """The effect failed before it did anything.

    Raise it in a gated function, or in the block of `loop.effect`, where it is certain that nothing has happened yet:
    the approval can then be made ready again.
    """

    code = "DC-NOT-RUN"
    hint = "`dualcontrol resolve CASE --did-not-happen` makes the approval ready again."


class Rejected(DualcontrolError):
    """A human said no."""

    code = "DC-REJECTED"
    hint = "The rationale says why; do not try the same again."
    status = 409


class TimedOut(DualcontrolError):
    """Nobody answered within the loop's response time."""

    code = "DC-TIMED-OUT"
    hint = "The loop's on_timeout decided; propose again if it is still wanted."
    status = 409


class Paused(BaseException):
    """The program waits for a human; this is not an error and no `except Exception` catches it."""

    code: ClassVar[str] = "DC-PAUSED"
    hint: ClassVar[str] = "Let it pass; run the same program again after the answer."
    exit_code: ClassVar[int] = 5


class Pending(Paused):
    """The case is still open."""

    code = "DC-PENDING"

    def __new__(cls, *given: Any, **named: Any) -> Pending:
        return super().__new__(PendingInPool if cls is Pending and _in_pool() else cls)

    def __init__(self, case_id: str, message: str | None = None, *, note: str | None = None) -> None:
        self.case_id = case_id
        waits = f"case {case_id} still waits for a human" + (f"; {note}" if note else "")
        self.message = message or f"{waits} [{self.code}] {self.hint}"
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.case_id, self.message)


class PendingInPool(Pending, Exception):
    """The case is still open, said inside a worker of `multiprocessing.Pool`.

    Such a worker takes an `Exception` back to who waits for it; any other pause would end it without a word, and the
    pool would wait for ever.
    """

    code = "DC-PENDING-POOL"
    hint: ClassVar[str] = "Catch `dualcontrol.Pending` around the pool's result; run the same program after the answer."


def _in_pool() -> bool:
    """Whether a worker of a pool of `multiprocessing`, of processes or threads, called this."""
    pool = sys.modules.get("multiprocessing.pool")
    frame = sys._getframe(1) if pool is not None else None
    while frame is not None and frame.f_code is not pool.worker.__code__:  # type: ignore[union-attr]
        frame = frame.f_back
    return frame is not None


def kinds() -> dict[str, type[DualcontrolError] | type[Paused]]:
    """Every error and pause by its code."""
    classes = [value for value in globals().values() if isinstance(value, type)]
    return {kind.code: kind for kind in classes if issubclass(kind, DualcontrolError | Paused)}
