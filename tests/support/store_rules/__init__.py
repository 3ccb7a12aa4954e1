"""What every store must do, one rule a function: `RULES`.

A rule gets a way to open further handles on one store that is empty at first. Whoever has a store parametrises over
`RULES` and closes what its factory opened.
"""

from . import reading, saving, secrets, text, together
from .rows import RULES, Make, Rule

__all__ = ["RULES", "Make", "Rule", "reading", "saving", "secrets", "text", "together"]
