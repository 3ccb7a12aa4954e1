-- Says that a node is there and what limits refused it; tells how many nodes there are, and what limits are pressed.
--
-- KEYS[1]: a sorted set, node → when it was last heard of; KEYS[2]: another, tag of a limit → when it was last refused;
-- both in milliseconds. ARGV: 1 node · 2 whether it is leaving (0 or 1) · 3.. tags refused since its last beat.
-- Returns {now_us, number of nodes, tags pressed...}. A node counts for ten minutes, a tag for two seconds, and of tags
-- the 1,000 newest.

local NODE_MS, PRESSED_MS, MOST_TAGS = 600000, 2000, 1000

local clock = redis.call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now_ms = math.floor(now_us / 1000)

-- What is too old, or from a time when the clock was ahead.
local function tidy(key, kept_ms)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('(%.0f', now_ms - kept_ms))
  redis.call('ZREMRANGEBYSCORE', key, string.format('(%.0f', now_ms + kept_ms), '+inf')
  redis.call('PEXPIRE', key, kept_ms)
end

local score = string.format('%.0f', now_ms)
if ARGV[2] == '1' then
  redis.call('ZREM', KEYS[1], ARGV[1])
else
  redis.call('ZADD', KEYS[1], score, ARGV[1])
end
for at = 3, #ARGV do
  redis.call('ZADD', KEYS[2], score, ARGV[at])
end
tidy(KEYS[1], NODE_MS)
tidy(KEYS[2], PRESSED_MS)
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -MOST_TAGS - 1)

local answer = redis.call('ZRANGE', KEYS[2], 0, -1)
table.insert(answer, 1, redis.call('ZCARD', KEYS[1]))
table.insert(answer, 1, now_us)
return answer
