"""Whatever a LiteLLM file says: it is refused, or what is written passes our own reader; no secret gets out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.config.problem import ConfigError, Problem
from penstock.importers.litellm import prefixes
from penstock.importers.litellm.convert import convert

SECRET = "sk-secret-in-clear-"
NAMES = ["a", "b", "gpt-4o", "claude", "openai/*", "groq/*", "gpt-*", "*", "azure/gpt-*", "openai/x", "x y", "a*b*", ""]
MODELS = [
    *("gpt-4o", "claude-opus-4", "*", "o1", "nothing", "/", "openai/", "x/y/z", "openai/*", "openai/gpt-*"),
    *(f"{prefix}/{rest}" for prefix in (*prefixes.CARRIED, "bedrock", "odd") for rest in ("m", "*", "a/b", "gpt-*")),
]
BASES = [
    *(
        "http://10.0.0.1:8000/v1",
        "https://r.openai.azure.com",
        "https://api.groq.com/openai/v1/",
        "os.environ/BASE",
        "",
    ),
    *(
        "http://u:p@h/v1",
        "ftp://x",
        "<your-base>",
        "https://h/v1?api-version=1",
        "http://[::1]:1/api",
        "https://a.b/v1?k=é",
    ),
]

words = st.one_of(
    st.sampled_from(["", "x", "os.environ/KEY", "os.environ/", "${env:HOME}", "$${", "\n", "é\u2028"]),
    st.text(max_size=8),
)
secrets = st.one_of(
    st.just("os.environ/KEY"), st.just("none"), st.text(min_size=1, max_size=6).map(lambda t: SECRET + t)
)
numbers = st.one_of(st.integers(-1, 10**7), st.floats(allow_nan=True), st.sampled_from(["5", "many", "1e9", None]))
params = st.fixed_dictionaries(
    {"model": st.sampled_from(MODELS)},
    optional={
        "api_key": secrets,
        "api_base": st.sampled_from(BASES),
        "organization": st.one_of(words, st.lists(words, max_size=3)),
        "extra_headers": st.dictionaries(
            st.one_of(words, st.just("Authorization"), st.just("X-A")), secrets, max_size=3
        ),
        "weight": numbers,
        "rpm": numbers,
        "order": numbers,
        "timeout": numbers,
        "custom_llm_provider": st.sampled_from(["azure", "openai", "odd"]),
        "litellm_credential_name": st.sampled_from(["c", "gone"]),
        "temperature": numbers,
    },
)
deployments = st.fixed_dictionaries(
    {"model_name": st.sampled_from(NAMES), "litellm_params": params},
    optional={"model_info": st.dictionaries(st.sampled_from(["id", "access_groups", "mode"]), words, max_size=2)},
)
names = st.sampled_from([*NAMES, "gone"])
chains = st.lists(st.dictionaries(names, st.lists(names, max_size=3), max_size=2), max_size=3)
routing = st.fixed_dictionaries(
    {},
    optional={
        "fallbacks": chains,
        "default_fallbacks": st.lists(names, max_size=3),
        "model_group_alias": st.dictionaries(names, names, max_size=3),
        "num_retries": numbers,
        "timeout": numbers,
        "context_window_fallbacks": chains,
    },
)
files = st.fixed_dictionaries(
    {"model_list": st.lists(deployments, max_size=8)},
    optional={
        "router_settings": routing,
        "litellm_settings": routing,
        "general_settings": st.fixed_dictionaries({}, optional={"master_key": secrets, "max_request_size_mb": numbers}),
        "credential_list": st.just([{"credential_name": "c", "credential_values": {"api_key": "os.environ/C"}}]),
        "environment_variables": st.dictionaries(words, secrets, max_size=2),
    },
)


@settings(max_examples=100, deadline=None)
@given(files)
def test_what_is_written_passes_and_holds_no_secret(content: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "config.yaml"
        file.write_text(yaml.safe_dump(content, allow_unicode=False))
        try:
            converted = convert(str(file))
        except ConfigError as error:
            refused = str(error)
        else:
            refused = ""
    assert SECRET not in refused
    if refused:
        return
    missing = {problem.reason.partition(" is ")[0] for problem in converted.problems}
    plain = yaml.safe_load(converted.text)
    assert not converted.problems or (not plain.get("providers") and missing == {"no provider"}), converted.problems
    assert SECRET not in converted.text
    assert not any(SECRET in note.path + note.reason for note in converted.notes)
    assert len(set(converted.variables)) == len(converted.variables)


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.one_of(words, numbers, st.booleans()),
        lambda s: st.lists(s, max_size=4) | st.dictionaries(words, s, max_size=4),
    )
)
def test_any_shape_below_any_section_is_refused_or_listed(shape: Any) -> None:
    for section in (
        "model_list",
        "router_settings",
        "litellm_settings",
        "general_settings",
        "credential_list",
        "include",
    ):
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "config.yaml"
            file.write_text(yaml.safe_dump({section: shape}))
            problems: tuple[Problem, ...] = ()
            try:
                convert(str(file))
            except ConfigError as error:
                problems = error.problems
            assert all(problem.mark.line or "holds nothing" in problem.message for problem in problems)
