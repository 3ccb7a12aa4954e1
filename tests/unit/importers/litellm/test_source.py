"""Files that are wrong, that include others, or that mean harm."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.config.problem import ConfigError, Problem
from penstock.importers.litellm import source
from penstock.importers.litellm.convert import convert
from tests.unit.importers.litellm.conftest import Import

GOOD = "model_list: [{model_name: m, litellm_params: {model: openai/gpt-4o}}]\n"
Refused = Callable[[str], list[Problem]]

# name: text, line, column, path, part of the message
WRONG: dict[str, tuple[str, int, int, str, str]] = {
    "an unquoted star": ("model_list:\n  - model_name: *\n", 2, 18, "", "alphabetic"),
    "a tab": ("model_list:\n\t- model_name: x\n", 2, 1, "", "cannot start any token"),
    "a bracket that never closes": ("model_list: [{a: b\n", 2, 1, "", "expected"),
    "a list at the top": ("- a\n", 1, 1, "", "expected fields"),
    "a field twice": ("model_list: []\nmodel_list: []\n", 2, 1, "", "stands twice"),
    "models that are no list": ("model_list: {a: b}\n", 1, 13, "model_list", "expected a list"),
    "a model that is no mapping": ("model_list: [x]\n", 1, 14, "model_list[0]", "expected fields"),
    "a model without a name": (
        "model_list: [{litellm_params: {model: openai/x}}]\n",
        *(1, 14, "model_list[0]", "model_name"),
    ),
    "a model without parameters": ("model_list: [{model_name: x}]\n", 1, 14, "model_list[0]", "litellm_params"),
    "parameters that are no mapping": (
        "model_list: [{model_name: x, litellm_params: gpt}]\n",
        *(1, 46, "model_list[0].litellm_params", "expected fields"),
    ),
    "parameters without a model": (
        "model_list: [{model_name: x, litellm_params: {api_key: k}}]\n",
        *(1, 46, "model_list[0].litellm_params", "provider/model"),
    ),
    "settings that are no mapping": (GOOD + "router_settings: [a]\n", 2, 19, "router_settings[0]", "not a list"),
    "fallbacks that are no list": (
        GOOD + "router_settings: {fallbacks: x}\n",
        *(2, 30, "router_settings.fallbacks", "expected a list"),
    ),
    "a tag that runs code": ("model_list: !!python/object/apply:os.system [ls]\n", 1, 13, "", "means nothing here"),
    "a character that no YAML has": ("model_list: \x07\n", 1, 13, "", "cannot stand here"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused_with_its_place(name: str, refused: Refused) -> None:
    text, line, column, path, message = WRONG[name]
    first = refused(text)[0]
    assert (first.mark.line, first.mark.column, "".join(map(str, first.path))) == (line, column, path)
    assert message in first.message
    assert "providers:" not in first.hint


def test_every_problem_is_said_at_once(refused: Refused) -> None:
    problems = refused("model_list: [x, {model_name: y}]\nrouter_settings: 5\n")
    assert [problem.mark.line for problem in problems] == [1, 1, 2]


def test_an_empty_file_and_a_missing_one_are_refused(refused: Refused, tmp_path: Path) -> None:
    assert "holds nothing" in refused("")[0].message
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        convert(str(tmp_path / "gone.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"a: b\nc: \xff\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml:2:4: not UTF-8"):
        convert(str(tmp_path / "latin.yaml"))


def test_included_files_are_read_and_their_paths_named(bring: Import) -> None:
    imported = bring(
        "include: [models.yaml, more.yaml]\n" + GOOD,
        models="model_list: [{model_name: n, litellm_params: {model: groq/llama, seed: 1}}]\n",
        more="include: models.yaml\nlitellm_settings: {num_retries: 9}\n",
    )
    assert set(imported.models) == {"m", "n"}
    assert "models.yaml: model_list[0].litellm_params.seed" in imported.reasons
    assert imported.plain["max_attempts"] == 10
    assert imported.reasons["more.yaml: include[0]"] == "was read already, and is not read twice"


def test_an_included_section_replaces_the_one_before(bring: Import) -> None:
    imported = bring(
        "include: more.yaml\nlitellm_settings: {num_retries: 1}\n" + GOOD, more="litellm_settings: {num_retries: 9}\n"
    )
    assert imported.plain["max_attempts"] == 10
    assert "is replaced whole by more.yaml: litellm_settings" in imported.reasons["litellm_settings"]


@pytest.mark.parametrize("name", ["../outside.yaml", "/etc/passwd", "link.yaml", "gone.yaml", "", "."])
def test_an_include_that_leaves_the_directory_or_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside.yaml").write_text("secret: 1\n")
    (inside / "link.yaml").symlink_to(tmp_path / "outside.yaml")
    (inside / "config.yaml").write_text(f'include: ["{name}"]\n')
    with pytest.raises(ConfigError) as error:
        convert(str(inside / "config.yaml"))
    assert error.value.problems[0].path == ("include[0]",)


def test_includes_end(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.yaml").write_text(f"include: {number + 1}.yaml\n")
    with pytest.raises(ConfigError, match="one include too many"):
        convert(str(tmp_path / "0.yaml"))
    (tmp_path / "ring.yaml").write_text("include: ring.yaml\n" + GOOD)
    assert convert(str(tmp_path / "ring.yaml")).problems == []
    names = ", ".join(f"w{number}.yaml" for number in range(source.MAX_FILES + 1))
    for number in range(source.MAX_FILES + 1):
        (tmp_path / f"w{number}.yaml").write_text(GOOD)
    (tmp_path / "wide.yaml").write_text(f"include: [{names}]\n")
    with pytest.raises(ConfigError, match="one include too many"):
        convert(str(tmp_path / "wide.yaml"))


def test_hostile_sizes_are_refused_rather_than_read(refused: Refused, tmp_path: Path) -> None:
    assert "nested too deep" in refused("a: " + "[" * 200)[0].message
    assert "nest" in refused("a: " + "[" * 5000)[0].message
    levels = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "nested too deep, or repeated" in refused("\n".join(levels))[0].message
    big = tmp_path / "big.yaml"
    big.touch()
    os.truncate(big, source.MAX_FILE_BYTES + 1)
    with pytest.raises(ConfigError, match="is larger than 4 MiB"):
        convert(str(big))


def test_aliases_times_targets_are_bounded(refused: Refused) -> None:
    models = "".join(f"  - {{model_name: m, litellm_params: {{model: openai/x{n}}}}}\n" for n in range(400))
    aliases = ", ".join(f"a{n}: m" for n in range(200))
    problems = refused(f"model_list:\n{models}router_settings: {{model_group_alias: {{{aliases}}}}}\n")
    assert "which no configuration may have" in problems[0].message


def test_default_fallbacks_end_where_no_attempt_goes(bring: Import) -> None:
    names = [f"m{n}" for n in range(100)]
    models = "".join(f"  - {{model_name: {name}, litellm_params: {{model: openai/{name}}}}}\n" for name in names)
    imported = bring(f"model_list:\n{models}litellm_settings: {{default_fallbacks: [{', '.join(names)}]}}\n")
    assert {len(model["fallback"]) for model in imported.models.values()} == {16}
    assert "only the first 64 are looked at" in imported.reasons["litellm_settings.default_fallbacks"]


def test_comments_hold_no_line_break_of_a_foreign_name(bring: Import) -> None:
    imported = bring(
        'model_list:\n  - {model_name: m, litellm_params: {model: openai/x, "a\\nproviders: {}\\u2028b": 1}}\n'
        '  - {model_name: "n\\nevil: 1", litellm_params: {model: openai/x}}\n'
    )
    assert set(imported.plain) == {"providers", "models"}
    assert all(line.startswith("#") for line in imported.whole.text.split("\n\n")[0].split("\n"))
