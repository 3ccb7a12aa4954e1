"""Limits as native needs them."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.config.model import AllLimits
from penstock.limits.policy import Limits, Policy, policy_of
from penstock.policy import snapshot


def compile_limits(limits: AllLimits) -> snapshot.Limits:
    """The limits of a checked configuration; places where nothing is set are left out."""
    return snapshot.Limits(
        default=_set(limits.default),
        global_=_set(limits.global_),
        models=_each(limits.models),
        providers=_each(limits.providers),
        unpriced=limits.unpriced,
        zone=limits.zone,
    )


def _each(limits: Mapping[str, Limits]) -> dict[str, Policy]:
    found = {name: _set(given) for name, given in limits.items()}
    return {name: policy for name, policy in found.items() if policy is not None}


def _set(limits: Limits) -> Policy | None:
    policy = policy_of(limits)
    return policy if policy != Policy() else None
