"""Makes python/penstock/providers/prices.yaml from LiteLLM's list of prices: `price_list.py LITELLM.whl > prices.yaml`.

The list is data of LiteLLM's wheel under the MIT licence. What it has is taken as it stands; what penstock cannot price
(single pictures, searches, storage) is left out. Read the difference before it is committed.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

MEMBER = "litellm/model_prices_and_context_window_backup.json"
KINDS = {
    "openai": "openai", "text-completion-openai": "openai", "anthropic": "anthropic", "gemini": "gemini",
    "mistral": "mistral", "groq": "groq", "together_ai": "together", "fireworks_ai": "fireworks",
    "deepseek": "deepseek", "xai": "xai", "cohere": "cohere", "cohere_chat": "cohere", "perplexity": "perplexity",
    "cerebras": "cerebras", "moonshot": "moonshot", "zai": "zai", "minimax": "minimax", "dashscope": "dashscope",
}  # fmt: skip
"""LiteLLM's name of a provider → our kind."""
MODES = {
    "chat",
    "responses",
    "completion",
    "embedding",
    "image_generation",
    "audio_transcription",
    "audio_speech",
    "moderation",
}
RATES = {
    "input": ["input_cost_per_token"],
    "cached_input": ["cache_read_input_token_cost"],
    "cache_write": ["cache_creation_input_token_cost"],
    "cache_write_1h": ["cache_creation_input_token_cost_above_1hr", "cache_creation_input_token_cost_above_12hr"],
    "audio_input": ["input_cost_per_audio_token"],
    "image_input": ["input_cost_per_image_token"],
    "output": ["output_cost_per_token"],
    "audio_output": ["output_cost_per_audio_token"],
    "image_output": ["output_cost_per_image_token"],
    "reasoning": ["output_cost_per_reasoning_token"],
}
"""Our rate → the fields that state it, each with the suffix of a tier or a size behind it. The second is OpenAI's."""
WRONG = {("cohere", "embed-multilingual-light-v3.0"): {"input_cost_per_token": Decimal("1e-7")}}
"""What the list has wrong, by kind and name: there it is the price of a thousand tokens."""
UNITS = {
    "audio_transcription": ("audio_second", "input_cost_per_second"),
    "audio_speech": ("input_character", "input_cost_per_character"),
}
"""Mode → what is paid for where tokens are not, and the field that says how much."""
MADE_OF = {"image_generation": "image_output", "audio_speech": "audio_output"}
"""Mode → what its answers are made of, though OpenAI often does not say so: where that is dearer, it is charged."""
OTHERWISE = {
    "cached_input": "input", "cache_write": "input", "cache_write_1h": "cache_write", "audio_input": "input",
    "image_input": "input", "audio_output": "output", "image_output": "output", "reasoning": "output",
}  # fmt: skip
"""The rate that holds where one is not stated."""
TIERS = {"batch": "_batches", "flex": "_flex", "priority": "_priority", "ultrafast": "_ultrafast"}
STANDARD = {"batch": Decimal("0.5"), "flex": Decimal(1), "priority": Decimal(1), "ultrafast": Decimal(1)}
"""What a tier makes of all rates where nothing is stated."""
NINE = Decimal("1e-9")
DATED = re.compile(r"(.+)(?:-\d{4}-\d\d-\d\d|[-@]\d{8})\Z")
Entry = Mapping[str, Any]
Numbers = dict[str, Decimal]


def rates(entry: Entry, suffix: str = "") -> Numbers:
    """What the entry states, in usd per million tokens."""
    stated = ((name, entry.get(field + suffix)) for name, fields in RATES.items() for field in fields)
    found = {name: Decimal(value) * 1_000_000 for name, value in stated if value is not None}
    # What is written to a cache costs no less than what is not: of tokens from a cache that is the price.
    if 0 < found.get("cache_write", 0) < found.get("input", 0) and "cached_input" not in found:
        found["cached_input"] = found.pop("cache_write")
    return {name: found[name] for name in RATES if name in found}


def needed(stated: Numbers) -> Numbers:
    """Without what holds anyway."""
    kept = dict(stated)
    for name, other in OTHERWISE.items():
        if name in kept and kept[name] == stated.get(other, stated.get("input")):
            del kept[name]
    return kept


def price(entry: Entry, kind: str) -> dict[str, Any] | None:
    """An entry of ours; None: it is not priced by tokens, seconds of sound or characters."""
    if tiers := entry.get("tiered_pricing"):
        first, *others = sorted(tiers, key=lambda tier: tier["range"][0] if "range" in tier else 0)
        if not all("range" in tier and "input_cost_per_token" in tier for tier in tiers):
            return None
        made: dict[str, Any] = dict(needed(rates(first)))
        made["above"] = {int(tier["range"][0]): needed(rates(tier)) for tier in others}
        return made
    base = rates(entry)
    if "input" not in base:
        unit, field = UNITS.get(entry["mode"], ("", ""))
        if not entry.get(field):
            return None
        return {"input": Decimal(0), "output": Decimal(0), unit: Decimal(entry[field]) * 1_000_000}
    if "output" not in base:
        base["output"] = base.get("image_output", base.get("audio_output", Decimal(0)))
    if made_of := MADE_OF.get(entry["mode"]) if kind == "openai" else None:
        base["output"] = max(base["output"], base.get(made_of, base["output"]))
    if entry.get("input_cost_per_image") or entry.get("output_cost_per_image"):
        return None
    made = dict(needed(base))
    above = {}
    for size in sorted({int(k) for f in entry for k in re.findall(r"_above_(\d+)k_tokens\Z", f)}):
        stated = rates(entry, f"_above_{size}k_tokens")
        stated = {name: value for name, value in stated.items() if value != base.get(name)}
        if stated:
            above[size * 1000 - (kind == "xai")] = stated  # at xAI the threshold itself counts as above it
    if above:
        made["above"] = above
    made |= factors(entry, base)
    return made


def factors(entry: Entry, base: Numbers) -> Numbers:
    """What the tiers make of the rates; of several the largest, so that nothing is charged too little."""
    found = {}
    for tier, suffix in TIERS.items():
        ratios = [value / base[name] for name, value in rates(entry, suffix).items() if base.get(name)]
        largest = max(ratios, default=STANDARD[tier]).quantize(NINE, ROUND_CEILING)
        if largest != STANDARD[tier]:
            found[tier] = largest
    fast = (entry.get("provider_specific_entry") or {}).get("fast")
    return found | ({"fast": Decimal(fast)} if fast else {})


def name_of(key: str, kind: str) -> str | None:
    """The model's name at the provider; None: it is another way to write one that stands there too."""
    name = key
    for prefix in ("text-completion-openai", *(each for each, ours in KINDS.items() if ours == kind)):
        name = name.removeprefix(f"{prefix}/")
    if kind == "fireworks" and not name.startswith("accounts/"):
        return None
    if kind in ("perplexity", "openai", "anthropic", "gemini") and "/" in name:
        return None
    return f"{name}:*" if name.startswith("ft:") else name


def listed(models: Mapping[str, Entry]) -> dict[str, dict[str, dict[str, Any]]]:
    """Kind → model → price."""
    found: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in dict.fromkeys(KINDS.values())}
    for key, entry in models.items():
        kind = KINDS.get(entry.get("litellm_provider", ""))
        if kind is None or entry.get("mode") not in MODES:
            continue
        name = name_of(key, kind)
        made = price({**entry, **WRONG.get((kind, name or ""), {})}, kind)
        if name and made and " " not in name and len(name) <= 256:
            found[kind].setdefault(name, made)
    for prices in found.values():
        for name in list(prices):
            dated = DATED.match(name)
            if dated and prices.get(dated[1]) == prices[name]:
                del prices[name]
    return found


def written(value: Any) -> str:
    """One value of an entry."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name}: {written(inner)}' for name, inner in value.items())} }}"
    text = f"{round(value, 9):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def lines(wheel: Path, on: str) -> Iterable[str]:
    """The file."""
    content = wheel.read_bytes()
    with zipfile.ZipFile(wheel) as files:
        models = json.loads(files.read(MEMBER), parse_float=Decimal)
    yield HEAD.format(wheel=wheel.name, digest=hashlib.sha256(content).hexdigest(), date=on)
    for kind, prices in listed(models).items():
        yield f"\n{kind}:"
        for name, made in sorted(prices.items()):
            yield f'  "{name}": {written(made)}'


HEAD = """\
# What models cost: kind of provider (catalogue.yaml) → name of the model there, or a pattern with one `*` → usd for a
# million tokens. Made by scripts/price_list.py; configuration overrides it, entry by entry (docs/prices.md).
#
# input, output: of the prompt, of the answer
# cached_input, cache_write: of a prompt's part that came from a cache, or was written to it; input unless said
# cache_write_1h: the same for an hour or longer; cache_write unless said
# audio_input, image_input, audio_output, image_output, reasoning: input or output unless said
# audio_second: usd per million seconds of sound, for transcriptions that are paid for by their length
# input_character: usd per million characters, for speech that is paid for by its text
# above: {{ 272000: {{ … }} }}: rates for all tokens of a request whose prompt has more tokens than that
# batch, flex, priority, ultrafast: what the tier of service makes of all rates; batch is 0.5 unless said, others 1
# fast: the same for Anthropic's fast mode, whose cost is unknown unless said
#
# Every entry is as of this date, from this source:
# date: {date}
# source: {wheel} (PyPI), {member}, licence MIT
# sha256: {digest}""".replace("{member}", MEMBER)

if __name__ == "__main__":
    print("\n".join(lines(Path(sys.argv[1]), datetime.date(2026, 11, 23).isoformat())))
