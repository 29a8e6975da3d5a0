"""A plot with logarithmic axes, as SVG written by hand: a straight line with slope 1 is proportional growth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _HEIGHT = 760, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 30, 44, 46


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
    xs, ys = zip(*panel.points, strict=True)
    x_low, x_high = _decades(xs)
    y_low, y_high = _decades(ys)

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log10(value) - x_low) / (x_high - x_low)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (math.log10(value) - y_low) / (y_high - y_low)

    parts = [f'<text x="{_LEFT}" y="24" font-size="15" font-weight="bold">{panel.title}</text>']
    for power in range(x_low, x_high + 1):
        at = x(10.0**power)
        parts.append(f'<path d="M{at:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{10**power:,}</text>')
    for power in range(y_low, y_high + 1):
        at = y(10.0**power)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:,g}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 10}" text-anchor="end">conversations</text>')
    line = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in panel.points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{panel.colour}" stroke-width="2"/>')
    for a, b in panel.points:
        parts.append(f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="4" fill="{panel.colour}"/>')
        shown = f"{b:,.1f}" if b < 100 else f"{b:,.0f}"
        parts.append(f'<text x="{x(a):.1f}" y="{y(b) - 9:.1f}" text-anchor="middle">{shown} {panel.unit}</text>')
    return parts


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)
