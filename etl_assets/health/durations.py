"""Durations in words."""

from __future__ import annotations


def duration(seconds: float | None) -> str | None:
    """Write seconds in the two largest units: 40 s, 3 min, 2 h 5 min, 4 d 3 h."""
    if seconds is None:
        return None
    minutes = int(seconds) // 60
    if minutes < 1:
        return f"{max(int(seconds), 0)} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 1:
        return f"{minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"
