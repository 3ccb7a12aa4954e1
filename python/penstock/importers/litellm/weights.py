"""The shares of deployments of one name, as LiteLLM's shuffle draws them, in whole numbers."""

from __future__ import annotations

from decimal import Decimal
from math import gcd

from penstock.importers.litellm.deployments import Deployment
from penstock.importers.litellm.notes import Notes

MAX_WEIGHT = 1_000_000


def weights(group: list[Deployment], notes: Notes) -> list[int]:
    """One for each, 0 for what is never drawn. The first deployment says by what: weight, else rpm, else tpm."""
    first = group[0]
    for chosen in ("weight", "rpm", "tpm"):
        if getattr(first, chosen) is None:
            continue
        shares: list[Decimal | None] = [getattr(deployment, chosen) for deployment in group]
        if not any(shares):
            break
        for deployment, share in zip(group, shares, strict=True):
            if share is None:
                notes.add(deployment.path, f"has no {chosen}, unlike the first of its name, which LiteLLM takes for 0")
        return _whole([share or Decimal(0) for share in shares])
    return [1] * len(group)


def _whole(shares: list[Decimal]) -> list[int]:
    """The same proportions, from 1 to `MAX_WEIGHT`; what is smaller than a millionth of the largest becomes 1."""
    scaled = [int((share * 1000).to_integral_value()) for share in shares]
    scaled = [max(whole, 1) if share else 0 for whole, share in zip(scaled, shares, strict=True)]
    divisor = gcd(*scaled) or 1
    reduced = [share // divisor for share in scaled]
    largest = max(reduced)
    if largest <= MAX_WEIGHT:
        return reduced
    return [max(share * MAX_WEIGHT // largest, 1) if share else 0 for share in reduced]
