"""What is written in Rust: the index of tokens, and plain claims.

It knows which run owns which token, and nothing else of runs or hooks. It is
safe to use from any number of threads. Batch calls let other threads run while
they work.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Self, final

__all__ = ["PlainClaims", "PlainOutcome", "TokenIndex", "encode_plain_claim"]

@final
class TokenIndex:
    """Which run of which project owns which hook token, in memory.

    A token is 1 to 4096 bytes of any value, and belongs to one project: the
    same bytes in two projects are two tokens. Run ids and revisions are numbers
    of 64 bits without sign; a run id is unique over all projects.

    Every method raises `TypeError` for an argument of another type (a token
    must be `bytes`) and `OverflowError` for a number that does not fit.
    """

    def __init__(self) -> None: ...
    def claim(self, project: str, token: bytes, run: int, revision: int) -> tuple[int, int] | None:
        """Claim a token for a run.

        Args:
            project: The project whose token it is.
            token: The token.
            run: The run that shall own it.
            revision: The fencing number of the claim.

        Returns:
            None if the token is claimed now. Otherwise the (run, revision) of
            its present owner, which may be the same run; nothing has changed.

        Raises:
            ValueError: The token is empty or longer than 4096 bytes.
        """

    def claim_batch(
        self, project: str, tokens: Sequence[bytes], runs: Sequence[int], first_revision: int
    ) -> list[tuple[int, int] | None]:
        """Claim tokens, each for its run.

        The claims of one token take effect in order, so that the second one
        loses to the first. Each claim is atomic; the batch as a whole is not.

        Args:
            project: The project whose tokens they are.
            tokens: The tokens.
            runs: For each token the run that shall own it.
            first_revision: The revision of the first item; item i has
                `first_revision + i`, whether or not the items before it won.

        Returns:
            For each token what `claim` returns.

        Raises:
            ValueError: A token is empty or too long, or `runs` and `tokens`
                differ in length; nothing has changed.
            OverflowError: The last revision does not fit 64 bits; nothing has
                changed.
        """

    def release(self, project: str, token: bytes, revision: int) -> bool:
        """Release a token if its claim has this revision.

        Args:
            project: The project whose token it is.
            token: The token.
            revision: The revision of the claim that shall end.

        Returns:
            Whether there was such a claim.
        """

    def release_batch(
        self, project: str, tokens: Sequence[bytes], revisions: Sequence[int]
    ) -> list[bool]:
        """Release tokens, each if its claim has its revision.

        Each release is atomic; the batch as a whole is not.

        Args:
            project: The project whose tokens they are.
            tokens: The tokens.
            revisions: For each token the revision of the claim that shall end.

        Returns:
            For each token whether there was such a claim.

        Raises:
            ValueError: `revisions` and `tokens` differ in length; nothing has
                changed.
        """

    def release_run(self, project: str, run: int) -> list[tuple[bytes, int]]:
        """Release all tokens of a run in one atomic step.

        Args:
            project: The project of the run.
            run: The run.

        Returns:
            The (token, revision) of each claim that has ended, by revision.
        """

    def tokens_of(self, project: str, run: int) -> list[tuple[bytes, int]]:
        """List the tokens of a run as they are at one moment.

        Args:
            project: The project of the run.
            run: The run.

        Returns:
            The (token, revision) of each of its claims, by revision.
        """

    def owner(self, project: str, token: bytes) -> tuple[int, int] | None:
        """Tell who owns a token.

        Args:
            project: The project whose token it is.
            token: The token.

        Returns:
            The (run, revision) of its claim, or None if nobody owns it.
        """

    def owner_batch(self, project: str, tokens: Sequence[bytes]) -> list[tuple[int, int] | None]:
        """Tell who owns each of some tokens.

        Each answer is true for a moment during the call, not all of them for
        the same moment.

        Args:
            project: The project whose tokens they are.
            tokens: The tokens.

        Returns:
            For each token what `owner` returns.
        """

    def load(
        self,
        project: str,
        tokens: Sequence[bytes],
        runs: Sequence[int],
        revisions: Sequence[int],
    ) -> None:
        """Put claims with given revisions in one atomic step: recovery and undo.

        Args:
            project: The project whose tokens they are.
            tokens: The tokens.
            runs: For each token the run that owns it.
            revisions: For each token the revision of its claim.

        Raises:
            ValueError: A token is taken already, or stands there twice, or is
                empty or too long, or the sequences differ in length; nothing of
                the call is kept.
        """

    def load_stored(self, pairs: Iterable[tuple[bytes, bytes]], at_once: int) -> int:
        """Put the claims of a store, as their keys and records: recovery.

        Of a record, a `ClaimRecord`, only the run's uid and the revision are
        read. Fields that are not known are passed over.

        Args:
            pairs: The keys, as `hookd_daemon.store.keys.claim` makes them, and
                the records.
            at_once: How many claims to put in one atomic step, at most. The
                claims of a step are of one project.

        Returns:
            Their number.

        Raises:
            ValueError: A key or a record is damaged, or a token is taken
                already. The message does not name the token. The claims of
                steps before this one stay.
        """

    def count(self, project: str) -> int:
        """Count the tokens that are claimed in a project.

        Args:
            project: The project.

        Returns:
            Their number.
        """

    def __len__(self) -> int: ...
    def projects(self) -> list[tuple[str, int]]:
        """List the projects that hold tokens.

        Returns:
            The (name, number of tokens) of each, by name.
        """

    def memory_bytes(self) -> int:
        """Compute the memory of the index from its own capacities.

        Returns:
            The bytes it has allocated, without what the allocator adds.
        """

def encode_plain_claim(
    uid: int,
    run_id: str,
    hook_id: str,
    token: str,
    generated: bool,
    revision: int,
    seq: int,
    now_ms: int,
    /,
) -> tuple[bytes, bytes, bytes]:
    """Writes the records of a claim without ttl, hold_after, metadata and trace context.

    Args:
        uid: The run's uid.
        run_id: The run's id.
        hook_id: The hook's id.
        token: The token.
        generated: The token was made by the daemon.
        revision: The claim's fencing number.
        seq: The event's position in the run's log.
        now_ms: The time, in milliseconds since 1970.

    Returns:
        As protobuf: the ``hookd.v1.Event``, the ``HookRecord`` and the ``ClaimRecord``.

    Raises:
        OverflowError: A number is negative or does not fit into 64 bits.
        UnicodeEncodeError: A text is not valid Unicode.
    """

@final
class PlainClaims:
    """Makes plain claims: those of an id and a token alone, for runs at work.

    Args:
        index: Who owns which token; claims are made there.
        max_token_bytes: A request with a longer token is not plain.
    """

    def __new__(cls, index: TokenIndex, max_token_bytes: int) -> Self: ...
    def claim(
        self,
        requests: Sequence[tuple[int, bytes, str, str]],
        get: Callable[[list[bytes]], list[bytes | None]],
        put: Callable[[bytes, bytes], None],
        delete: Callable[[bytes], None],
        now_ms: int,
        booted_ms: int,
        first_revision: int,
        name_tokens: bool,
    ) -> PlainOutcome:
        """Carry out the requests that are plain, one after the other.

        Args:
            requests: Of each its kind (0 for a `CreateHookRequest`, 1 for a
                `CreateHooksRequest`, 2 for a `ClaimStreamRequest`), its bytes,
                the W3C trace context of its call ("" for none), and the project
                that it must have to be plain ("" for any).
            get: Reads records by their keys.
            put: Writes a record.
            delete: Removes a record.
            now_ms: The time, in milliseconds since 1970.
            booted_ms: Since when the daemon runs.
            first_revision: The revision of the first claim; each uses one.
            name_tokens: Whether the outcome is to name the tokens that were won.

        Raises:
            ValueError: A kind is unknown.
            Exception: Whatever `get`, `put` or `delete` raised. The index may be
                ahead of what was put then.
        """

@final
class PlainOutcome:
    """What became of a group of requests.

    Attributes:
        answers: For each request None when it is not plain, and has had no
            effect; the bytes of its answer; or, for a single claim that was
            lost, the id of the run that lost, the bytes of the `HookConflict`
            and the trace context of the owner's claim.
        revisions: How many revisions were used.
        won: How many claims were won.
        lost: How many claims were lost.
        begun: How many runs were pending until now.
        grown: The uids of the runs whose logs have grown.
        tokens: The (project, token) pairs that were won, if they were asked for.
    """

    @property
    def answers(self) -> list[bytes | tuple[str, bytes, str] | None]: ...
    @property
    def revisions(self) -> int: ...
    @property
    def won(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def begun(self) -> int: ...
    @property
    def grown(self) -> list[int]: ...
    @property
    def tokens(self) -> list[tuple[str, str]]: ...
