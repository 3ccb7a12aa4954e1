"""The scripts of shared limits on a real Redis: what they answer, keep, forget, and cost."""

import statistics
import time
from collections.abc import Iterator
from importlib.resources import files
from itertools import count
from typing import Any, NamedTuple, cast

import pytest
from redis import Redis as Client
from redis.exceptions import RedisError

from penstock.times import DAY_US
from tests.support.redis import Redis
from tests.support.wait import until

pytestmark = pytest.mark.redis

MINUTE_US = 60_000_000
EXACT = 2**53 - 1
OK, LOST, STALE = 0, 1, 2
_names = count(1)
_calls = count(1)


class Answer(NamedTuple):
    """What lease.lua returns."""

    status: int
    now_us: int
    epoch: int
    sequence: int
    resets: int
    granted: int
    bucket: int
    expiry_us: int
    counted: int
    lapse_us: int
    pressed: int
    here: int


class Scripts:
    """The three scripts, and a connection."""

    def __init__(self, url: str) -> None:
        self.client = Client.from_url(url, decode_responses=True)
        sources = {name: (files("penstock.limits") / f"{name}.lua").read_text() for name in ("lease", "reset", "beat")}
        self._digests = {name: self.client.script_load(source) for name, source in sources.items()}

    def run(self, name: str, keys: list[str], *args: object) -> object:
        return self.client.evalsha(self._digests[name], len(keys), *keys, *map(str, args))

    def commands(self) -> int:
        stats = cast(dict[str, dict[str, int]], self.client.info("commandstats"))
        return sum(each["calls"] for name, each in stats.items() if name not in ("cmdstat_info", "cmdstat_evalsha"))


class Limit:
    """A limit that no other test has. `us`: its window's length, or of a period its begin and end."""

    def __init__(self, scripts: Scripts, amount: int, us: int | tuple[int, int] = MINUTE_US) -> None:
        self.scripts = scripts
        self.key = f"penstock:{{key:{next(_names)}:requests}}"
        self.amount = amount
        self.length_us = -(-us // 60) if isinstance(us, int) else 0
        self.period = (0, 0) if isinstance(us, int) else us
        self.lease_us = max(self.length_us, 50_000) if isinstance(us, int) else MINUTE_US

    def ask(
        self,
        need: int = 0,
        want: int | None = None,
        *,
        instance: str = "a1",
        call: int | None = None,
        seen: Answer | None = None,
        resets: int = 0,
        reposts: bool = False,
        nodes: int = 1,
        tells: tuple[tuple[int, int, int], ...] = (),
    ) -> Answer:
        epoch, sequence = (seen.epoch, seen.sequence) if seen else (0, 0)
        rest = [resets, int(reposts), nodes, need, need if want is None else want, *(n for tell in tells for n in tell)]
        head = [self.length_us, *self.period, self.amount, self.lease_us, instance]
        number = next(_calls) if call is None else call
        answer = self.scripts.run("lease", [self.key], *head, number, epoch, sequence, *rest)
        return Answer(*cast(list[int], answer))

    def reset(self) -> int:
        return cast(int, self.scripts.run("reset", [self.key]))

    def stored(self) -> list[str]:
        return cast(list[str], self.scripts.client.keys(self.key.replace("[", "?") + "*"))


@pytest.fixture(scope="module")
def scripts(redis: Redis) -> Iterator[Scripts]:
    made = Scripts(redis.url)
    yield made
    made.client.close()


def test_a_lease_ends_with_a_sub_bucket_and_is_counted_whole_under_it(scripts: Scripts) -> None:
    limit = Limit(scripts, 100)
    answer = limit.ask(3)
    assert answer.status == OK
    assert (answer.granted, answer.counted, answer.pressed, answer.lapse_us) == (3, 3, 0, 0)
    assert answer.expiry_us == (answer.bucket + 1) * limit.length_us
    assert limit.lease_us <= 2 * (answer.expiry_us - answer.now_us) <= 3 * limit.lease_us
    assert answer.here == answer.now_us // limit.length_us
    assert abs(answer.now_us - time.time() * 1e6) < 10e6
    assert (answer.epoch, answer.sequence, answer.resets) == (answer.now_us, 1, 0)


def test_a_want_is_granted_up_to_its_share_of_what_is_left(scripts: Scripts) -> None:
    limit = Limit(scripts, 100)
    assert limit.ask(1, 1000, nodes=5).granted == 10
    assert limit.ask(0, 1000, nodes=5).granted == 9
    assert limit.ask(50, 60, nodes=5).granted == 50
    assert limit.ask(0, 2).granted == 2


def test_a_need_that_does_not_fit_is_refused_with_the_moment_when_it_will(scripts: Scripts) -> None:
    limit = Limit(scripts, 10)
    first = limit.ask(10)
    refused = limit.ask(4, instance="b2")
    assert (refused.status, refused.granted, refused.pressed, refused.counted) == (OK, 0, 1, 10)
    assert refused.lapse_us == (first.bucket + 61) * limit.length_us
    # Whoever holds something hears of it. Asking ahead is never refused; what can never fit has no such moment.
    assert limit.ask().pressed == 1
    assert limit.ask(0, 5)[5:10] == (0, 0, 0, 10, 0)
    assert limit.ask(11).lapse_us == 0


def test_what_was_granted_is_free_again_when_it_lapses_and_pressure_passes(scripts: Scripts) -> None:
    limit = Limit(scripts, 2, 600_000)
    limit.ask(2)
    refused = limit.ask(1)
    assert refused.granted == 0
    granted = until(lambda: (answer := limit.ask(0, 2, nodes=1)).granted and answer, "it has lapsed", 5.0)
    assert isinstance(granted, Answer)
    assert granted.now_us >= refused.lapse_us
    assert granted.pressed == 0


def test_a_short_windows_lease_lasts_as_long_as_the_shortest_and_counts_where_it_expires(scripts: Scripts) -> None:
    limit = Limit(scripts, 10, 1_000_000)
    answer = limit.ask(1)
    assert answer.expiry_us == answer.now_us + 50_000
    assert answer.bucket == (answer.expiry_us - 1) // limit.length_us


def test_a_tell_sets_what_a_lease_counts_however_often_it_comes(scripts: Scripts) -> None:
    limit = Limit(scripts, 10)
    limit.ask(8, call=1_000_000)
    bucket = limit.ask(call=1_000_001).here
    for call in (1_000_002, 1_000_003):
        assert limit.ask(call=call, tells=((1_000_000, bucket, 3),)).counted == 3
    # Of a number that was not granted here nothing was recorded: what is told is added, once.
    for call in (1_000_004, 1_000_005):
        assert limit.ask(call=call, tells=((77, 0, 4),)).counted == 7
    assert limit.ask(call=1_000_006, tells=((77, 0, 0), (1_000_000, bucket, 0), (78, 0, 0))).counted == 0
    # Another instance's numbers are its own; what has lapsed is of no interest.
    assert limit.ask(instance="b2", tells=((1_000_000, bucket, 5), (79, bucket - 61, 100))).counted == 5


def test_a_call_that_was_overtaken_does_nothing(scripts: Scripts) -> None:
    limit = Limit(scripts, 10)
    limit.ask(1, call=2_000_005)
    stale = limit.ask(5, call=2_000_005)
    assert (stale.status, stale.granted, stale.sequence) == (STALE, 0, 1)
    assert limit.ask(5, call=2_000_004).status == STALE
    assert limit.ask(call=2_000_006).counted == 1


def test_after_a_loss_who_held_something_tells_it_before_it_gets_more(scripts: Scripts) -> None:
    limit = Limit(scripts, 10)
    seen = limit.ask(6, call=3_000_000)
    scripts.client.delete(*limit.stored())
    lost = limit.ask(1, seen=seen)
    assert (lost.status, lost.epoch, lost.granted) == (LOST, 0, 0)
    assert limit.stored() == []
    tells = ((3_000_000, seen.bucket, 6),)
    told = limit.ask(4, seen=seen, reposts=True, resets=7, tells=tells)
    assert (told.status, told.granted, told.counted, told.resets) == (OK, 4, 10, 7)
    assert told.epoch > seen.epoch
    # With what it sees by now it goes on.
    assert limit.ask(seen=told, resets=7).status == OK


def test_an_older_copy_is_seen_by_its_sequence_and_then_by_all(scripts: Scripts) -> None:
    limit = Limit(scripts, 10)
    limit.ask(1)
    old = scripts.client.hgetall(limit.key)
    other, seen = limit.ask(2, instance="b2"), limit.ask(3)
    scripts.client.hset(limit.key, mapping=cast(Any, old))
    assert limit.ask(seen=seen).status == LOST
    assert limit.ask(seen=seen, reposts=True).status == OK
    for _ in range(3):
        limit.ask()
    assert limit.ask(seen=other, instance="b2").status == LOST


def test_a_reset_begins_anew_and_ignores_what_is_told_by_who_has_not_heard(scripts: Scripts) -> None:
    limit = Limit(scripts, 10)
    assert limit.reset() == 0
    first = limit.ask(10, call=4_000_000)
    assert limit.reset() == 1
    answer = limit.ask(call=4_000_001, seen=first, tells=((4_000_000, first.bucket, 9),))
    assert (answer.status, answer.counted, answer.sequence) == (OK, 0, 3)
    assert answer.resets > 0
    # Also a late word about a lease of before takes nothing from what counts now.
    tells = ((4_000_000, first.bucket, 0), (4_000_003, 0, 4))
    assert limit.ask(call=4_000_004, seen=answer, resets=answer.resets, tells=tells).counted == 4
    assert limit.reset() == 1
    assert limit.ask().resets > answer.resets


def test_a_period_is_one_bucket_and_its_leases_end_with_it(scripts: Scripts) -> None:
    now_us = limit_now(scripts)
    begin, end = now_us - DAY_US // 2, now_us + 30_000_000
    limit = Limit(scripts, 10, (begin, end))
    answer = limit.ask(10)
    assert (answer.bucket, answer.expiry_us, answer.here) == (begin, end, 0)
    assert limit.ask(1).lapse_us == end
    # Another node's clock is in the next period already, and this one is not over for it.
    ahead = Limit(scripts, 10, (end, end + DAY_US))
    ahead.key = limit.key
    assert ahead.ask(4).expiry_us < ahead.period[1]
    assert (limit.ask().counted, ahead.ask().counted) == (10, 4)
    ended = Limit(scripts, 10, (begin, now_us - 1))
    assert (answer := ended.ask(1)).expiry_us == answer.now_us + 50_000


@pytest.mark.parametrize("us", [MINUTE_US, (1_700_000_000_000_000, 1_900_000_000_000_000)])
def test_numbers_are_exact_up_to_two_to_the_53(scripts: Scripts, us: int | tuple[int, int]) -> None:
    limit = Limit(scripts, EXACT, us)
    big = limit.ask(EXACT - 10, call=EXACT - 100)
    assert (big.granted, big.counted) == (EXACT - 10, EXACT - 10)
    assert limit.ask(11, call=EXACT - 99).granted == 0
    assert limit.ask(9, call=EXACT - 98).counted == EXACT - 1
    assert limit.ask(call=EXACT - 97, tells=((EXACT - 100, big.bucket, EXACT - 12),)).counted == EXACT - 3
    # A limit beyond is cut to it.
    limit.amount = 2**63
    assert limit.ask(4, call=EXACT - 96).granted == 0
    assert limit.ask(3, call=EXACT - 95).counted == EXACT


def test_all_of_it_expires_by_itself(scripts: Scripts) -> None:
    limit = Limit(scripts, 10)
    limit.ask(1)
    ages = [scripts.client.pttl(key) for key in limit.stored()]
    assert len(ages) == 2
    assert all(120_000 < age < 130_000 for age in ages)
    now_us = limit_now(scripts)
    period = Limit(scripts, 10, (now_us, now_us + DAY_US))
    period.ask(1)
    ages = [scripts.client.pttl(key) for key in period.stored()]
    assert len(ages) == 2
    assert all(0 <= 2 * DAY_US // 1000 - age < 60_000 for age in ages)


def test_what_is_kept_of_a_busy_limit_is_bounded(scripts: Scripts) -> None:
    limit = Limit(scripts, 10**9, (0, 2_000_000_000_000_000))
    for _ in range(600):
        answer = limit.ask(1)
    assert answer.counted == 600
    assert sorted(scripts.client.hlen(key) for key in limit.stored())[1] <= 258
    used = [cast(int, scripts.client.memory_usage(key)) for key in limit.stored()]
    assert sum(used) < 40_000


def test_a_full_server_refuses_a_call_whole(scripts: Scripts) -> None:
    limit = Limit(scripts, 10)
    seen = limit.ask(2)
    scripts.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(RedisError, match="maxmemory"):
            limit.ask(1)
    finally:
        scripts.client.config_set("maxmemory", 0)
    after = limit.ask()
    assert (after.sequence, after.counted) == (seen.sequence + 1, 2)


def test_a_call_costs_little_also_with_a_full_window_and_twenty_instances(scripts: Scripts) -> None:
    limit = Limit(scripts, 10**9)
    instances = [f"{n:x}" for n in range(20)]
    here = limit.ask().here
    for n, instance in enumerate(instances):
        tells = tuple((bucket, here - bucket, bucket + 1) for bucket in range(61))
        answer = limit.ask(1, instance=instance, tells=tells)
        assert answer.granted == 1, n
    assert scripts.client.hlen(limit.key) >= 61
    scripts.client.config_resetstat()
    calls, took = 400, []
    for n in range(calls):
        start = time.perf_counter()
        answer = limit.ask(1, instance=instances[n % 20], tells=((1, here - 1, n),))
        took.append(time.perf_counter() - start)
        assert answer.granted == 1
    assert scripts.commands() / calls <= 10
    stats = cast(dict[str, dict[str, float]], scripts.client.info("commandstats"))["cmdstat_evalsha"]
    print(f"{statistics.median(took) * 1e6:.0f} us a call and its trip, {stats['usec_per_call']:.0f} us of it here")
    assert statistics.median(took) < 0.005


def test_nodes_are_counted_by_their_beats_and_hear_what_is_pressed(scripts: Scripts) -> None:
    keys = ["penstock:{nodes}", "penstock:{nodes}:pressed"]

    def beat(*args: object) -> list[int | str]:
        return cast(list[int | str], scripts.run("beat", keys, *args))

    scripts.client.delete(*keys)
    now_us, nodes, *tags = beat("n1", 0, "key:a:requests:60000000", "global::tokens:day")
    assert abs(cast(int, now_us) - time.time() * 1e6) < 10e6
    assert (nodes, sorted(tags)) == (1, ["global::tokens:day", "key:a:requests:60000000"])
    assert beat("n2", 0)[1] == 2
    assert beat("n2", 0, "global::tokens:day")[1] == 2
    assert beat("n1", 1)[1] == 1
    now_ms = cast(int, beat("n2", 0)[0]) // 1000
    # Silent for ten minutes, refused two seconds ago, or from a time when the clock was wrong.
    old = {"silent": now_ms - 601_000, "wrong": now_ms + 700_000, "there": now_ms - 590_000}
    scripts.client.zadd(keys[0], old)
    scripts.client.zadd(keys[1], {"old": now_ms - 2_100, "wrong": now_ms + 60_000, "new": now_ms})
    _, nodes, *tags = beat("n2", 0)
    assert nodes == 2
    assert "new" in tags
    assert not {"old", "wrong"} & set(tags)
    assert len(beat("n2", 0, *(f"tag {n}" for n in range(1_500)))) == 2 + 1_000
    assert 0 < scripts.client.pttl(keys[0]) <= 600_000
    assert 0 < scripts.client.pttl(keys[1]) <= 2_000


def limit_now(scripts: Scripts) -> int:
    seconds, us = scripts.client.time()
    return seconds * 1_000_000 + us
