"""Every rule of the configuration: what it says, where it points, and what it advises."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.config.model import Config
from penstock.config.problem import Problem, dotted

GOOD = "providers: {openai: {}, claude: {kind: anthropic}}\n"

# name: text, line, column, field, part of the message, part of the hint
CASES: dict[str, tuple[str, int, int, str, str, str]] = {
    "an unknown field names the closest one": (
        GOOD + "listn: 127.0.0.1:1\n",
        *(2, 1, "listn", "unknown field", "did you mean 'listen'?"),
    ),
    "a field of a later version is unknown": (
        GOOD + "cors: {origins: []}\n",
        *(2, 1, "cors", "unknown field", ""),
    ),
    "an unknown field inside a provider": (
        "providers:\n  openai:\n    api_kye: x\n",
        *(3, 5, "providers.openai.api_kye", "unknown field", "did you mean 'api_key'?"),
    ),
    "a target names an unknown provider": (
        GOOD + "models:\n  fast:\n    targets:\n      - provider: opnai\n",
        *(5, 19, "models.fast.targets[0].provider", "'opnai' is not among the providers", "did you mean 'openai'?"),
    ),
    "a fallback names an unknown provider": (
        GOOD + "models: {fast: {targets: [{provider: openai}], fallback: [{provider: clod}]}}\n",
        *(2, 70, "models.fast.fallback[0].provider", "'clod' is not among", "did you mean 'claude'?"),
    ),
    "a target without a provider": (
        GOOD + "models: {fast: {targets: [{model: gpt-5}]}}\n",
        *(2, 27, "models.fast.targets[0].provider", "is missing", "which of the providers?"),
    ),
    "a provider unknown to the catalogue without a dialect": (
        "providers:\n  mine: {base_url: http://10.0.0.5:8000/v1}\n",
        *(2, 3, "providers.mine", "has no dialect", "say dialect:"),
    ),
    "a provider whose name almost is a kind": (
        "providers:\n  opnai: {base_url: http://10.0.0.5:8000/v1}\n",
        *(2, 3, "providers.opnai", "has no dialect", "did you mean 'openai'?"),
    ),
    "a provider with a dialect and no base_url": (
        "providers:\n  mine: {dialect: openai}\n",
        *(2, 3, "providers.mine.base_url", "is missing", "write where it is"),
    ),
    "an unknown kind": (
        "providers: {a: {kind: anthropc}}\n",
        *(1, 23, "providers.a.kind", "'anthropc' is not in the catalogue", "did you mean 'anthropic'?"),
    ),
    "a provider without its key": (
        "providers: {groq: {}}\n",
        *(1, 13, "providers.groq.api_key", "is missing", "set GROQ_API_KEY"),
    ),
    "dialect beside dialects": (
        "providers: {a: {dialect: openai, dialects: {ollama: /}, base_url: http://h}}\n",
        *(1, 26, "providers.a.dialect", "stands beside dialects", "one of the two"),
    ),
    "an unknown dialect": (
        "providers: {a: {dialect: opena, base_url: http://h}}\n",
        *(1, 26, "providers.a.dialect", "expected one of openai, anthropic, ollama, not 'opena'", "'openai'?"),
    ),
    "an unknown name among dialects": (
        "providers: {a: {dialects: {olama: /}, base_url: http://h}}\n",
        *(1, 28, "providers.a.dialects.olama", "unknown name", "did you mean 'ollama'?"),
    ),
    "a dialect's path that is not one": (
        "providers: {a: {dialects: {ollama: v1}, base_url: http://h}}\n",
        *(1, 36, "providers.a.dialects.ollama", "expected a path under base_url", ""),
    ),
    "a base_url that has what the dialect adds": (
        "providers: {claude: {kind: anthropic, base_url: https://api.anthropic.com/v1}}\n",
        *(1, 49, "providers.claude.base_url", "ends in /v1, which the dialect anthropic adds", "leave /v1 off"),
    ),
    "a base_url that is no address": (
        "providers: {a: {dialect: openai, base_url: api.example.com}}\n",
        *(1, 44, "providers.a.base_url", "expected http://host:port/path", ""),
    ),
    "credentials in a base_url": (
        "providers: {a: {dialect: openai, base_url: 'https://me:hunter22@api.example.com/v1'}}\n",
        *(1, 44, "providers.a.base_url", "credentials do not belong", ""),
    ),
    "a query in a base_url": (
        "providers: {a: {dialect: openai, base_url: 'https://h/v1?api-version=1'}}\n",
        *(1, 44, "providers.a.base_url", "use the field query", ""),
    ),
    "a model whose targets and fallbacks share no dialect": (
        GOOD + "models:\n  fast:\n    targets: [{provider: openai}]\n    fallback: [{provider: claude}]\n",
        *(3, 3, "models.fast", "share no dialect: openai speaks openai, claude speaks anthropic", "not translated"),
    ),
    "a model without targets": (
        GOOD + "models: {fast: {targets: []}}\n",
        *(2, 26, "models.fast.targets", "is empty", "such as targets"),
    ),
    "a model with nothing at all": (
        GOOD + "models:\n  fast:\n",
        *(3, 3, "models.fast.targets", "is empty", "such as targets"),
    ),
    "a weight of zero": (
        GOOD + "models: {fast: {targets: [{provider: openai, weight: 0}]}}\n",
        *(2, 54, "models.fast.targets[0].weight", "expected 1 to 1000000, not '0'", ""),
    ),
    "a negative weight": (
        GOOD + "models: {fast: {targets: [{provider: openai, weight: -3}]}}\n",
        *(2, 54, "models.fast.targets[0].weight", "expected 1 to 1000000, not '-3'", ""),
    ),
    "the same target twice": (
        GOOD + "models: {fast: {targets: [{provider: openai}, {provider: openai}]}}\n",
        *(2, 47, "models.fast.targets[1]", "stands twice", "use weight"),
    ),
    "a model's name with two stars": (
        GOOD + "models: {'a*b*': {targets: [{provider: openai}]}}\n",
        *(2, 10, "models.a*b*", "at most one *", ""),
    ),
    "a wildcard as the provider's model": (
        GOOD + "models: {'a*': {targets: [{provider: openai, model: 'a*'}]}}\n",
        *(2, 53, "models.a*.targets[0].model", "provider's own name", "leave it out"),
    ),
    "no attempts": (GOOD + "max_attempts: 0\n", 2, 15, "max_attempts", "expected 1 to 16, not '0'", ""),
    "too many attempts": (GOOD + "max_attempts: 17\n", 2, 15, "max_attempts", "expected 1 to 16, not '17'", ""),
    "open to other machines": (
        GOOD + "auth: open\nlisten: 0.0.0.0:4000\n",
        *(3, 9, "listen[0]", "can be reached from other machines", "listen on 127.0.0.1, [::1] or unix:/path"),
    ),
    "one of several listeners open to other machines": (
        GOOD + "auth: open\nlisten:\n  - 127.0.0.1:4000\n  - '[::]:4000'\n",
        *(5, 5, "listen[1]", "can be reached from other machines", "unix:/path"),
    ),
    "the admin port open to other machines": (
        GOOD + "auth: open\nadmin: {listen: 192.0.2.1:4001}\n",
        *(3, 17, "admin.listen[0]", "can be reached from other machines", "write auth: keys"),
    ),
    "a way to authenticate that is none": (
        GOOD + "auth: key\n",
        *(2, 7, "auth", "expected one of keys, open", "did you mean 'keys'?"),
    ),
    "a listener without a host": (
        GOOD + "listen: ':4000'\n",
        *(2, 9, "listen[0]", "which host? Write 127.0.0.1:4000", ""),
    ),
    "a listener that is a name": (
        GOOD + "listen: example.com:4000\n",
        *(2, 9, "listen[0]", "expected an IP address before the port", ""),
    ),
    "a listener without a port": (GOOD + "listen: 127.0.0.1\n", 2, 9, "listen[0]", "expected host:port", ""),
    "a relative Unix socket": (GOOD + "listen: unix:run.sock\n", 2, 9, "listen[0]", "needs an absolute path", ""),
    "no listener": (GOOD + "listen: []\n", 2, 9, "listen", "names no address", "127.0.0.1:4000"),
    "the same listener twice": (
        GOOD + "listen: ['127.0.0.1:4000', 'localhost:4000']\n",
        *(2, 28, "listen[1]", "127.0.0.1:4000 is listened on twice", ""),
    ),
    "admin on the data port": (
        GOOD + "admin: {listen: 127.0.0.1:4000}\n",
        *(2, 17, "admin.listen[0]", "is already the address of the data port", "a port of its own"),
    ),
    "a missing variable in a secret": (
        "providers: {openai: {api_key: '${env:NOT_THERE}'}}\n",
        *(1, 31, "providers.openai.api_key", "the environment variable NOT_THERE is not set", ""),
    ),
    "a missing variable in an ordinary field": (
        GOOD + "data_dir: ${env:NOT_THERE}\n",
        *(2, 11, "data_dir", "the environment variable NOT_THERE is not set", ""),
    ),
    "an unreadable file in a secret": (
        "providers: {openai: {api_key: '${file:/not/there}'}}\n",
        *(1, 31, "providers.openai.api_key", "cannot read /not/there: No such file", ""),
    ),
    "a reference that never closes": (
        "providers: {openai: {api_key: '${env:X'}}\n",
        *(1, 31, "providers.openai.api_key", "never closes", ""),
    ),
    "a reference of an unknown kind": (
        "providers: {openai: {api_key: '${vault:X}'}}\n",
        *(1, 31, "providers.openai.api_key", "a reference is ${env:NAME}", ""),
    ),
    "a provider twice": (
        "providers:\n  openai: {}\n  openai: {}\n",
        *(3, 3, "", "'openai' stands twice", "first on line 2"),
    ),
    "a default_provider that is not configured": (
        GOOD + "default_provider: cloude\n",
        *(2, 19, "default_provider", "'cloude' is not among the providers", "did you mean 'claude'?"),
    ),
    "a path to open without a slash": (
        "providers: {openai: {passthrough: [files]}}\n",
        *(1, 36, "providers.openai.passthrough[0]", "expected a path such as /files", "starts with /"),
    ),
    "a path to open that climbs": (
        "providers: {openai: {passthrough: [/files/../x]}}\n",
        *(1, 36, "providers.openai.passthrough[0]", "expected a path such as /files", ""),
    ),
    "the organization": (
        "providers: {openai: {passthrough: [/organization]}}\n",
        *(1, 36, "providers.openai.passthrough[0]", "organization is never passed on", ""),
    ),
    "the organization below /v1": (
        "providers: {openai: {passthrough: [/v1/organization/users]}}\n",
        *(1, 36, "providers.openai.passthrough[0]", "organization is never passed on", ""),
    ),
    "everything at once": (
        "providers: {openai: {passthrough: [/v1]}}\n",
        *(1, 36, "providers.openai.passthrough[0]", "would open every path", ""),
    ),
    "waiting for ever to connect": (
        GOOD + "timeouts: {connect: 0}\n",
        *(2, 21, "timeouts.connect", "0 would wait for ever", "only first_token"),
    ),
    "a provider waiting for ever to connect": (
        "providers: {openai: {timeouts: {connect: 0}}}\n",
        *(1, 42, "providers.openai.timeouts.connect", "0 would wait for ever", ""),
    ),
    "less time in all than for connecting": (
        GOOD + "timeouts: {total: 1s}\n",
        *(2, 19, "timeouts.total", "is shorter than connect", ""),
    ),
    "a provider with less time in all than for connecting": (
        "providers: {openai: {timeouts: {total: 1s}}}\n",
        *(1, 40, "providers.openai.timeouts.total", "is shorter than connect", ""),
    ),
    "a provider that takes longer to connect than it may in all": (
        "timeouts: {total: 9s}\nproviders: {openai: {timeouts: {connect: 10s}}}\n",
        *(2, 42, "providers.openai.timeouts.connect", "is longer than total", ""),
    ),
    "a model with less time in all than its target for connecting": (
        "providers: {openai: {timeouts: {connect: 3s}}}\n"
        "models: {m: {targets: [{provider: openai}], timeouts: {total: 2s}}}\n",
        *(2, 63, "models.m.timeouts.total", "is shorter than connect", ""),
    ),
    "a duration without a unit": (
        GOOD + "keepalive: 15\n",
        *(2, 12, "keepalive", "expected a duration such as 100ms, 5s, 2m or 1h, not '15'", ""),
    ),
    "a client's limit in a provider": (
        "providers: {openai: {timeouts: {header_read: 1s}}}\n",
        *(1, 33, "providers.openai.timeouts.header_read", "unknown field", "known here"),
    ),
    "no workers": (GOOD + "workers: 0\n", 2, 10, "workers", "expected 1 to 1024, not '0'", ""),
    "workers by a variable": (
        GOOD + "workers: '${env:OPENAI_API_KEY}'\n",
        *(2, 10, "workers", "expected a whole number, not '${env:OPENAI_API_KEY}'", ""),
    ),
    "workers by name": (GOOD + "workers: many\n", 2, 10, "workers", "expected a whole number, not 'many'", ""),
    "less in flight than one body": (
        GOOD + "body: {max_inflight_bytes: 1MiB}\n",
        *(2, 28, "body.max_inflight_bytes", "is smaller than max_bytes", "must fit"),
    ),
    "a size in words": (GOOD + "body: {max_bytes: huge}\n", 2, 19, "body.max_bytes", "expected a size such as", ""),
    "a network with host bits": (
        GOOD + "trusted_proxies: [10.0.0.1/8]\n",
        *(2, 19, "trusted_proxies[0]", "expected an address or a network", "did you mean '10.0.0.0/8'?"),
    ),
    "a network that is none": (GOOD + "trusted_proxies: [lb]\n", 2, 19, "trusted_proxies[0]", "not 'lb'", "such as"),
    "a missing CA file": (GOOD + "tls: {ca_file: /not/there}\n", 2, 16, "tls.ca_file", "cannot read /not/there", ""),
    "a CA file without a certificate": (GOOD + "tls: {ca_file: /dev/null}\n", 2, 16, "tls.ca_file", "holds no PEM", ""),
    "a truth that is none": (GOOD + "log: {access: maybe}\n", 2, 15, "log.access", "expected true or false", ""),
    "a level that is none": (GOOD + "log: {level: inf}\n", 2, 14, "log.level", "expected one of debug", "'info'?"),
    "a list where text stands": (GOOD + "data_dir: [a]\n", 2, 11, "data_dir", "expected text", ""),
    "text where fields stand": (GOOD + "timeouts: 5s\n", 2, 11, "timeouts", "expected fields and their values", ""),
    "fields where a list stands": (GOOD + "trusted_proxies: {a: b}\n", 2, 18, "trusted_proxies", "expected a list", ""),
    "an empty data_dir": (GOOD + "data_dir: ''\n", 2, 11, "data_dir", "names no directory", ""),
    "no providers": ("workers: 1\n", 1, 1, "providers", "no provider is configured", "write providers:"),
    "a provider's name with a slash": (
        "providers:\n  a/b: {kind: openai}\n",
        *(2, 3, "providers.a/b", "a provider's name is made of", ""),
    ),
    "a header of the connection": (
        "providers: {openai: {headers: {Transfer-Encoding: x}}}\n",
        *(1, 32, "providers.openai.headers.Transfer-Encoding", "cannot be set", ""),
    ),
    "a header that is ours: X-Request-Id": (
        "providers: {openai: {headers: {X-Request-Id: x}}}\n",
        *(1, 32, "providers.openai.headers.X-Request-Id", "cannot be set", ""),
    ),
    "a client's header that is ours: X-Request-Id": (
        "providers: {openai: {forward_headers: [X-Request-Id]}}\n",
        *(1, 40, "providers.openai.forward_headers[0]", "is never taken from a client", ""),
    ),
    "a header that is ours: traceparent": (
        "providers: {openai: {headers: {traceparent: x}}}\n",
        *(1, 32, "providers.openai.headers.traceparent", "cannot be set", ""),
    ),
    "a client's header that is ours: traceparent": (
        "providers: {openai: {forward_headers: [traceparent]}}\n",
        *(1, 40, "providers.openai.forward_headers[0]", "is never taken from a client", ""),
    ),
    "a header that is ours: Host": (
        "providers: {openai: {headers: {Host: x}}}\n",
        *(1, 32, "providers.openai.headers.Host", "cannot be set", ""),
    ),
    "a client's header that is ours: Host": (
        "providers: {openai: {forward_headers: [Host]}}\n",
        *(1, 40, "providers.openai.forward_headers[0]", "is never taken from a client", ""),
    ),
    "a header that is ours: Content-Length": (
        "providers: {openai: {headers: {Content-Length: x}}}\n",
        *(1, 32, "providers.openai.headers.Content-Length", "cannot be set", ""),
    ),
    "a client's header that is ours: Content-Length": (
        "providers: {openai: {forward_headers: [Content-Length]}}\n",
        *(1, 40, "providers.openai.forward_headers[0]", "is never taken from a client", ""),
    ),
    "a header that is ours: Connection": (
        "providers: {openai: {headers: {Connection: x}}}\n",
        *(1, 32, "providers.openai.headers.Connection", "cannot be set", ""),
    ),
    "a client's header that is ours: Connection": (
        "providers: {openai: {forward_headers: [Connection]}}\n",
        *(1, 40, "providers.openai.forward_headers[0]", "is never taken from a client", ""),
    ),
    "a key in two places": (
        "providers: {claude: {kind: anthropic, api_key: x, headers: {X-Api-Key: y}}}\n",
        *(1, 61, "providers.claude.headers.X-Api-Key", "carries the key already", "leave out one"),
    ),
    "a key from a client": (
        "providers: {openai: {auth: {header: X-Mine}, forward_headers: [x-mine]}}\n",
        *(1, 64, "providers.openai.forward_headers[0]", "is never taken from a client", ""),
    ),
    "a header twice": (
        "providers: {openai: {headers: {X-A: x, x-a: y}}}\n",
        *(1, 40, "providers.openai.headers.x-a", "stands twice in another spelling", ""),
    ),
    "a key in a header of the connection": (
        "providers: {openai: {auth: {header: host}}}\n",
        *(1, 37, "providers.openai.auth.header", "cannot carry a key", "authorization"),
    ),
    "the organisation from a client": (
        "providers: {openai: {forward_headers: [OpenAI-Organization]}}\n",
        *(1, 40, "providers.openai.forward_headers[0]", "is never taken from a client", "under headers"),
    ),
    "a query with its mark": (
        "providers: {openai: {query: '?api-version=1'}}\n",
        *(1, 29, "providers.openai.query", "without the question mark", ""),
    ),
    "a pattern with two stars": (
        "providers: {openai: {patterns: ['*a*']}}\n",
        *(1, 33, "providers.openai.patterns[0]", "at most one *", ""),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_configuration_is_refused_with_place_and_advice(
    name: str, refused: Callable[..., list[Problem]]
) -> None:
    text, line, column, field, message, hint = CASES[name]
    problems = refused(text)
    assert len(problems) == 1, [str(each) for each in problems]
    found = problems[0]
    assert (found.mark.line, found.mark.column, dotted(found.path)) == (line, column, field)
    assert message in found.message
    assert hint in found.hint
    assert str(found).startswith(f"{found.mark.source}:{line}:{column}: ")


def test_all_problems_come_at_once_in_the_order_of_the_file(refused: Callable[..., list[Problem]]) -> None:
    text = "listen: nowhere\nworkers: 0\nlistn: x\nproviders: {a: {dialect: openai, base_url: x}}\nauth: no\n"
    assert [found.mark.line for found in refused(text)] == [1, 2, 3, 4, 5]


def test_what_is_wrong_already_is_not_said_twice(refused: Callable[..., list[Problem]]) -> None:
    assert len(refused("providers: {openai: {base_url: [1]}}\nmodels: {m: {targets: 7}}\n")) == 2


def test_a_password_in_an_address_is_not_repeated(refused: Callable[..., list[Problem]]) -> None:
    text = "providers: {a: {dialect: openai, base_url: 'https://me:hunter22@h/v1'}}\n"
    assert "hunter22" not in "".join(map(str, refused(text)))


def test_a_proxy_variable_that_makes_no_sense_is_named_once(refused: Callable[..., list[Problem]]) -> None:
    problems = refused("providers: {openai: {}, groq: {api_key: x}}", HTTPS_PROXY="socks5://u:hunter22@p:1080")
    assert [str(each) for each in problems] == [
        "HTTPS_PROXY: names a kind of proxy that is not supported (use http:// or https://)"
    ]


def test_what_is_wrong_in_a_list_is_told_at_its_own_place(refused: Callable[..., list[Problem]]) -> None:
    text = (
        GOOD
        + "auth: open\nmodels:\n  m:\n    targets:\n      - 7\n      - {provider: openai}\n      - {provider: nobody}\n"
    )
    text += "listen:\n  - [x]\n  - '127.0.0.1:1'\n  - '${env:NOT_THERE}'\n  - '0.0.0.0:1'\n"
    assert [(each.mark.line, dotted(each.path)) for each in refused(text)] == [
        (6, "models.m.targets[0]"),
        (8, "models.m.targets[2].provider"),
        (10, "listen[0]"),
        (12, "listen[2]"),
        (13, "listen[3]"),
    ]


def test_a_variable_may_hold_a_word_that_stands_for_a_number(read: Callable[..., Config]) -> None:
    assert read(GOOD + "workers: '${env:W:-auto}'\n").workers == "auto"
    assert read(GOOD + "workers: '${env:W:-auto}'\n", W="3").workers == 3
