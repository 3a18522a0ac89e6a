"""How a curve of any length becomes at most 100 points, deterministically, while it is recorded.

Decision: two rulers. The first points, then ever sparser ones, are recorded at once, so that a running curve can be
watched; at the close an even selection and the last point follow. The price: a run that is killed outright keeps only
the first kind, whose late points are sparse.
"""

from dataclasses import dataclass, field

MAX_LIVE = 40
DENSE_LIVE = 20
MAX_EVEN = 59
MAX_POINTS = MAX_LIVE + MAX_EVEN + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of a curve."""

    at_ms: int
    step: int
    value: float


@dataclass(slots=True)
class Curve:
    """The points of one metric, of which at most `MAX_POINTS` are ever recorded."""

    num_offered: int = 0
    next_live: int = 0
    stride: int = 1
    even: list[tuple[int, Point]] = field(default_factory=list)
    last: tuple[int, Point] | None = None
    live: set[int] = field(default_factory=set)

    def offer(self, point: Point) -> bool:
        """Take the next point.

        Returns:
            True when it is to be recorded now; the others wait for `rest`.
        """
        index = self.num_offered
        self.num_offered += 1
        self.last = (index, point)
        if index % self.stride == 0:
            self._keep_even(index, point)
        if index != self.next_live or len(self.live) >= MAX_LIVE:
            return False
        self.live.add(index)
        self.next_live = index + (1 if index < DENSE_LIVE else index // 2)
        return True

    def rest(self) -> list[Point]:
        """List, oldest first, the points that complete the curve: an even selection and the last one."""
        chosen = dict(self.even)
        if self.last is not None:
            chosen[self.last[0]] = self.last[1]
        return [point for index, point in sorted(chosen.items(), key=lambda item: item[0]) if index not in self.live]

    def _keep_even(self, index: int, point: Point) -> None:
        self.even.append((index, point))
        if len(self.even) > MAX_EVEN:
            self.stride *= 2
            self.even = [kept for kept in self.even if kept[0] % self.stride == 0]
