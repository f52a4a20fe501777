"""Names with values, as HTTP has them: a name may come more than once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


class Fields(Mapping[str, str]):
    """The headers of a request, or the parameters of its query.

    A mapping from each name to its first value; ``all`` gives every value of a
    name, and ``pairs`` everything as it came. Names of headers are found in
    any case.
    """

    __slots__ = ("_any_case", "_pairs")

    def __init__(
        self,
        pairs: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        any_case: bool = False,
    ) -> None:
        items = pairs.items() if isinstance(pairs, Mapping) else pairs
        self._any_case = any_case
        self._pairs = tuple((self._key(name), value) for name, value in items)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All names and values, in their order; names of headers in lower case."""
        return self._pairs

    def all(self, name: str) -> tuple[str, ...]:
        """Gives all values of a name, in their order; none when it is not there."""
        key = self._key(name)
        return tuple(value for found, value in self._pairs if found == key)

    def __getitem__(self, name: str) -> str:
        values = self.all(name) if isinstance(name, str) else ()
        if not values:
            raise KeyError(name)
        return values[0]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._pairs))

    def __len__(self) -> int:
        return len({name for name, _ in self._pairs})

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Fields):
            return self._pairs == other._pairs
        return Mapping.__eq__(self, other)

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        # Not the values: there are keys and cookies among them.
        return f"<Fields {', '.join(self)}>"

    def _key(self, name: str) -> str:
        return name.lower() if self._any_case else name
