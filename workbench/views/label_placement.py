"""Names beside points, only where there is room: no label covers another thing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.views.layers import Line, Text
from workbench.views.style import role

CHARACTER, LINE, MARK = 0.082, 0.15, 0.05  # inches
NEAR = 1.4 * MARK  # from the middle of a point to its label, inches
FAR = (0.25, 0.45, 0.7)  # with a leader line
STEPS = 24  # places along a leader line that are kept clear
_BESIDE = {"right": (1, 0), "left": (-1, 0), "top": (0, 1), "bottom": (0, -1)}
_DIAGONAL = (("left", -0.7, 0.7), ("right", 0.7, -0.7))
_DIAGONAL += (("right", 0.7, 0.7), ("left", -0.7, -0.7))
# side of the label and where it begins, inches from the point; the nearest first
WAYS = [(side, NEAR * dx, NEAR * dy) for side, (dx, dy) in _BESIDE.items()]
WAYS += [
    (side, away * dx, away * dy)
    for away in FAR
    for side, dx, dy in (*_DIAGONAL, *((k, *v) for k, v in _BESIDE.items()))
]
Spot = tuple[float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True)
class Sheet:
    """The plotting area.

    Args:
        x_range, y_range: ends of the axes.
        inches: its width and height.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    inches: tuple[float, float] = (5.2, 3.0)

    def _units(self) -> Spot:
        """Data units an inch."""
        (left, right), (low, high) = self.x_range, self.y_range
        return (right - left) / self.inches[0], (high - low) / self.inches[1]

    def inch(self, spot: Spot) -> Spot:
        """A point in inches from the lower left corner."""
        across, up = self._units()
        return (spot[0] - self.x_range[0]) / across, (spot[1] - self.y_range[0]) / up

    def data(self, spot: Spot) -> Spot:
        """The inverse of ``inch``."""
        across, up = self._units()
        return self.x_range[0] + spot[0] * across, self.y_range[0] + spot[1] * up

    def holds(self, room: Box) -> bool:
        """Whether a box in inches lies within."""
        low = min(room[:2]) >= 0
        return low and room[2] <= self.inches[0] and room[3] <= self.inches[1]


def box(start: Spot, side: str, name: str) -> Box:
    """The room that a label takes which begins at a spot, inches."""
    (x, y), wide, high = start, CHARACTER * len(name), LINE
    if side in ("right", "left"):
        left = x if side == "right" else x - wide
        return left, y - high / 2, left + wide, y + high / 2
    low = y if side == "top" else y - high
    return x - wide / 2, low, x + wide / 2, low + high


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share an area."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    return across > 0 and min(one[3], other[3]) - max(one[1], other[1]) > 0


def place(
    named: Sequence[tuple[str, Spot]],
    sheet: Sheet,
    *,
    limit: int,
    around: Iterable[Spot] = (),
) -> list[Line | Text]:
    """Labels for as many of the points as fit, in the order given.

    A label stands beside its point, or further off at the end of a grey line; where
    neither has room there is none.

    Args:
        named: name and place (data units) of the points, most wanted first.
        sheet: the plotting area.
        limit: labels at most.
        around: further places that no label may cover, such as a curve's.
    """
    marks = [_dot(sheet.inch(at)) for _, at in named]
    under = [_dot(sheet.inch(at)) for at in around]
    layers: list[Line | Text] = []
    for name, at in named:
        if sum(isinstance(layer, Text) for layer in layers) == limit:
            break
        point = sheet.inch(at)
        for side, dx, dy in WAYS:
            start = point[0] + dx, point[1] + dy
            room, leader = box(start, side, name), _leader(point, start)
            free = not any(overlap(room, other) for other in (*marks, *under))
            clear = not any(overlap(dot, other) for dot in leader for other in marks)
            if sheet.holds(room) and free and clear:
                spot = sheet.data(start)
                if leader:
                    ends = [[one, two] for one, two in zip(at, spot, strict=True)]
                    layers.append(Line(*ends, "", role("guide")))
                layers.append(Text(*spot, name, side))
                marks += [room, *leader]
                break
    return layers


def _dot(spot: Spot, half: float = MARK) -> Box:
    return spot[0] - half, spot[1] - half, spot[0] + half, spot[1] + half


def _leader(point: Spot, start: Spot) -> list[Box]:
    """The room of a leader line; none where the label stands beside its point."""
    dx, dy = start[0] - point[0], start[1] - point[1]
    long = (dx**2 + dy**2) ** 0.5
    if long < 1.01 * NEAR:
        return []
    first = int(NEAR / long * STEPS) + 1  # its own point is no obstacle
    shares = [i / STEPS for i in range(first + 1, STEPS)]
    return [_dot((point[0] + s * dx, point[1] + s * dy), 0.01) for s in shares]
