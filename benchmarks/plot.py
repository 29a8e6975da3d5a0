"""A plot with linear axes from zero, as SVG written by hand: proportional growth is a straight line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 50, 44, 46
#: What a label needs.
_ROOM = 60


@dataclass(frozen=True)
class Panel:
    """One quantity over the number of conversations."""

    title: str
    unit: str
    points: Sequence[tuple[float, float]]
    colour: str


def svg(panels: Sequence[Panel]) -> str:
    """Return the panels below each other."""
    height = _HEIGHT * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts.append(f'<g transform="translate(0 {number * _HEIGHT})">')
        parts += _panel(panel)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> list[str]:
    xs, ys = [a for a, _ in panel.points], [b for _, b in panel.points]
    x_step, y_step = _step(max(xs)), _step(max(ys))
    x_steps, y_steps = math.ceil(max(xs) / x_step), math.ceil(max(ys) / y_step)

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / (x_step * x_steps)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / (y_step * y_steps)

    title = f"{panel.title}, {panel.unit}" if panel.unit else panel.title
    parts = [f'<text x="{_LEFT}" y="24" font-size="15" font-weight="bold">{title}</text>']
    for number in range(x_steps + 1):
        at = x(x_step * number)
        parts.append(f'<path d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        shown = f"{x_step * number:,.0f}"
        parts.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{shown}</text>')
    for number in range(y_steps + 1):
        at = y(y_step * number)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{y_step * number:,g}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 10}" text-anchor="end">conversations</text>')
    line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in panel.points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{panel.colour}" stroke-width="2"/>')
    told: float = _LEFT
    for a, b in panel.points:
        parts.append(f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="4" fill="{panel.colour}"/>')
        # The first ones are close to each other: the table has them all.
        if x(a) - told > _ROOM:
            told = x(a)
            shown = f"{b:,.1f}" if b < 100 else f"{b:,.0f}"
            parts.append(f'<text x="{x(a) - 6:.1f}" y="{y(b) - 9:.1f}" text-anchor="end">{shown}</text>')
    return parts


def _step(most: float) -> float:
    """Return a round number that fits three to eight times into the axis."""
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(power * part for part in (0.2, 0.25, 0.5, 1.0) if most / (power * part) <= 8)
