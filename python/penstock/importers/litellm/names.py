"""Names for keys and teams: printable, never empty, each once."""

from __future__ import annotations

MOST = 100


class Names:
    """Hands out names; one that is taken gets a number."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}

    def take(self, wish: str) -> str:
        """The wish, as far as it can be had."""
        base = " ".join("".join(c if c.isprintable() else " " for c in wish[:1000]).split())[:MOST].strip() or "unnamed"
        name = base
        number = self._next.get(base, 2)
        while name in self._taken:
            name, number = f"{base[: MOST - 9]}-{number}", number + 1
        self._next[base] = number
        self._taken.add(name)
        return name
