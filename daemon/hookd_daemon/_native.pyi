"""The TokenIndex, written in Rust.

It knows which run owns which token, and nothing else of runs or hooks. It is
safe to use from any number of threads. Batch calls let other threads run while
they work.
"""

from collections.abc import Sequence
from typing import final

__all__ = ["TokenIndex", "encode_plain_claim"]

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
