"""Histograms cheap enough for the path of every call.

Recording one value with the SDK's histogram costs about 6 µs, most of it in
copying and hashing attributes; a bisection and two additions cost 0.2 µs. So the
counts are kept here, in plain lists, and become SDK data points when a reader
collects (see `setup`).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Final

SECONDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)


class Series:
    """Counts of one histogram for one set of attributes.

    Not locked: one thread records into a series, any thread reads it. A reader
    may see a value counted that is not in the sum yet.
    """

    __slots__ = ("attributes", "bounds", "counts", "start_ns", "total")

    def __init__(self, bounds: Sequence[float], attributes: Mapping[str, str]) -> None:
        self.bounds = bounds
        self.attributes = attributes
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.start_ns = time.time_ns()

    def record(self, value: float) -> None:
        """Counts one value; a bucket's upper bound belongs to it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Histogram:
    """A named histogram: one series, or one for each pair of label values.

    Attributes:
        name: The OpenTelemetry name.
        unit: The UCUM unit.
        description: One sentence for whoever reads the metric.
    """

    __slots__ = ("_bounds", "_series", "description", "name", "unit")

    def __init__(self, name: str, unit: str, description: str, bounds: Sequence[float]) -> None:
        self.name = name
        self.unit = unit
        self.description = description
        self._bounds = bounds
        self._series: list[Series] = []

    def new_series(self, attributes: Mapping[str, str]) -> Series:
        """Adds a series for a set of attributes that has none yet."""
        series = Series(self._bounds, attributes)
        self._series.append(series)
        return series

    def series(self) -> list[Series]:
        """Returns all series, in the order in which they were added."""
        return self._series.copy()


class RequestTimes(Histogram):
    """Time per call, by method and status code."""

    __slots__ = ("_by_call",)

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, "s", description, SECONDS)
        self._by_call: dict[tuple[str, str], Callable[[float], None]] = {}

    def __call__(self, method: str, code: str, seconds: float) -> None:
        """Records one call.

        Args:
            method: The RPC's full name, ``/package.Service/Method``. From the
                daemon's own table, not from the wire: each name seen costs a
                series for good.
            code: The status code's name.
            seconds: How long it took.
        """
        try:
            record = self._by_call[method, code]
        except KeyError:
            record = self._add(method, code)
        record(seconds)

    def _add(self, method: str, code: str) -> Callable[[float], None]:
        service, _, name = method.removeprefix("/").rpartition("/")
        attributes = {"rpc.service": service, "rpc.method": name, "rpc.grpc.code": code}
        record = self._by_call[method, code] = self.new_series(attributes).record
        return record
