-- Grants leases of one limit and counts them: the one place that sees what all nodes may spend.
--
-- KEYS[1] is a hash: the limit's state, and what is counted in each bucket (a field named by its number). Beside it
-- stands one hash an instance, KEYS[1]:<instance>: the number of its last call, and what is recorded of its leases.
--
-- ARGV: 1 length_us of a sub-bucket (0: a period) · 2 begin_us and 3 until_us of the period (else 0) · 4 limit ·
-- 5 lease_us · 6 instance · 7 call number · 8 epoch and 9 sequence last seen (0: nothing to lose) · 10 resets known ·
-- 11 reposts (0 or 1) · 12 nodes known · 13 need · 14 want · 15.. tells: number, bucket (0: that of now), counted.
--
-- Returns 12 integers: 1 status (0 ok; 1 lost: repost; 2 stale; of these two nothing was done and 6 to 11 are 0) ·
-- 2 now_us · 3 epoch · 4 sequence · 5 resets · 6 granted · 7 the lease's bucket · 8 its expiry_us · 9 sum counted ·
-- 10 lapse_us: when a refused need would fit (0: it was not refused, or is more than the limit) · 11 pressed: somebody
-- was refused within the last lease_us · 12 bucket of now (0 of a period).
--
-- Why no interval of the window's length W, in the time of this server, holds more than the limit: W is at most 60
-- sub-buckets. A lease is spent before its expiry only, and counts under the sub-bucket that ends there or later. Take
-- any interval, and of the leases spent in it the one granted last, at g. Each other one was granted before g, and
-- expires after the interval's begin, which is not before g - W. So its bucket is bucket(g) - 60 or a later one: it was
-- in the sum when that last one was granted within the limit. A tell lowers what a lease counts only to what was spent
-- of it. The time of a grant never goes back: it is kept in the state. Of a period the bucket is the period itself.
--
-- Numbers are doubles: exact below 2^53, to which a larger limit is cut. They are written by `text`: Lua's own way
-- keeps 14 digits. The first write is one that a full or read-only server refuses: then nothing is done at all.

local EXACT, DAY_US, MINUTE_US, SHORTEST_US = 9007199254740991, 86400000000, 60000000, 50000
-- Of an instance. It forgets its oldest leases itself when it has 128; what is dropped here stays counted.
local MOST_RECORDS, KEPT_RECORDS = 256, 160

local function text(number)
  return string.format('%.0f', number)
end

local length, begin, ends = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local limit, lease = math.min(tonumber(ARGV[4]), EXACT), tonumber(ARGV[5])
local call, seen_epoch, seen_sequence = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local resets, reposts, nodes = tonumber(ARGV[10]), ARGV[11] == '1', math.max(tonumber(ARGV[12]), 1)
local need, want = tonumber(ARGV[13]), tonumber(ARGV[14])
local slides = length > 0

local clock = redis.call('TIME')
local time = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

local state, counted = {}, {}
local pairs_of_state = redis.call('HGETALL', KEYS[1])
for at = 1, #pairs_of_state, 2 do
  local bucket = tonumber(pairs_of_state[at])
  if bucket then
    counted[bucket] = tonumber(pairs_of_state[at + 1])
  else
    state[pairs_of_state[at]] = tonumber(pairs_of_state[at + 1])
  end
end

local now = math.max(time, state.now or 0)
-- The bucket of now, and which ones count: from the oldest one on, of a period those that begin within it.
local here, oldest, beyond = begin, begin, ends
if slides then
  here = math.floor(now / length)
  oldest, beyond = here - 60, math.huge
end

local function reply(status, granted, bucket, expiry, sum, lapse, pressed)
  return {
    status, now, state.epoch or 0, state.sequence or 0, state.resets or 0,
    granted, bucket, expiry, math.min(sum, EXACT), lapse, pressed, slides and here or 0,
  }
end

local mine, fields = KEYS[1] .. ':' .. ARGV[6], { 'last', 'of' }
for at = 15, #ARGV, 3 do
  fields[#fields + 1] = ARGV[at]
end
local recorded = redis.call('HMGET', mine, unpack(fields))

-- A call that was overtaken, or has come twice.
if recorded[1] and tonumber(recorded[1]) >= call then
  return reply(2, 0, 0, 0, 0, 0, 0)
end
-- Data was lost since this instance was last answered: it tells what it holds before it gets more.
if not reposts and seen_epoch ~= 0 and (state.epoch ~= seen_epoch or state.sequence < seen_sequence) then
  return reply(1, 0, 0, 0, 0, 0, 0)
end

if not state.epoch then
  local epoch = math.max(now, seen_epoch + 1)
  state = { epoch = epoch, born = epoch, sequence = 0, resets = 0, pressed = 0, ends = 0 }
elseif reposts and (state.epoch < seen_epoch or state.epoch == seen_epoch and state.sequence < seen_sequence) then
  -- An older copy: every other instance is to repost too, also one whose sequence will have been passed by then.
  state.epoch = math.max(now, seen_epoch + 1)
end
if reposts then
  state.resets = math.max(state.resets, resets)
end
state.now, state.sequence, state.ends = now, state.sequence + 1, math.max(state.ends, ends)

-- What is recorded is about these counts, or about earlier ones that are gone.
local of = text(state.born) .. ':' .. text(state.resets)
local is_void = recorded[2] ~= of
local records, changed, dropped = {}, {}, {}

-- Of a lease the bucket stays as it was recorded: so it does not matter how often the same is told.
if reposts or resets >= state.resets then
  local furthest = slides and math.floor((now + 2 * lease) / length) + 1
  for at = 15, #ARGV, 3 do
    local number, amount = ARGV[at], math.min(tonumber(ARGV[at + 2]), EXACT)
    local known, bucket, was = records[number] or not is_void and recorded[(at - 15) / 3 + 3], nil, 0
    if known then
      bucket, was = string.match(known, '^(%d+):(%d+)$')
      bucket, was = tonumber(bucket), tonumber(was)
    else
      bucket = tonumber(ARGV[at + 1])
      -- Nobody holds what expires later than that: such a bucket is from a server whose clock was ahead.
      bucket = bucket == 0 and here or slides and math.min(bucket, furthest) or bucket
    end
    if bucket >= oldest and bucket < beyond then
      counted[bucket] = math.max((counted[bucket] or 0) + (amount - was), 0)
      changed[bucket] = true
      records[number] = text(bucket) .. ':' .. text(amount)
    end
  end
end

local sum, newest, gone = 0, here, {}
for bucket, amount in pairs(counted) do
  if bucket >= oldest and bucket < beyond then
    sum, newest = sum + amount, math.max(newest, bucket)
  elseif slides or bucket + 2 * (ends - begin + DAY_US) < now then
    -- Of a period that has just ended too: an instance whose clock is behind may still ask for it.
    gone[#gone + 1] = text(bucket)
  end
end

local left = limit - sum
local granted, bucket, expiry, lapse = 0, 0, 0, 0
if need > 0 and need > left then
  state.pressed = now
  if need <= limit and not slides then
    lapse = math.max(ends, now + SHORTEST_US)
  elseif need <= limit then
    local order = {}
    for each in pairs(counted) do
      if each >= oldest then
        order[#order + 1] = each
      end
    end
    table.sort(order)
    for _, each in ipairs(order) do
      left = left + counted[each]
      if left >= need then
        lapse = (each + 61) * length
        break
      end
    end
  end
else
  granted = math.max(need, math.min(want, math.floor(left / (2 * nodes))))
end
if granted > 0 then
  if not slides then
    bucket, expiry = begin, math.max(math.min(now + lease, ends), now + SHORTEST_US)
  elseif lease == length then
    bucket = math.floor((now + math.floor(lease / 2)) / length)
    expiry = (bucket + 1) * length
  else
    expiry = now + lease
    bucket = math.floor((expiry - 1) / length)
  end
  counted[bucket] = (counted[bucket] or 0) + granted
  changed[bucket] = true
  records[ARGV[7]] = text(bucket) .. ':' .. text(granted)
  sum, newest = sum + granted, math.max(newest, bucket)
end

local writes = {}
for name, value in pairs(state) do
  writes[#writes + 1], writes[#writes + 2] = name, text(value)
end
for each in pairs(changed) do
  if counted[each] > 0 then
    writes[#writes + 1], writes[#writes + 2] = text(each), text(counted[each])
  else
    gone[#gone + 1] = text(each)
  end
end
redis.call('HSET', KEYS[1], unpack(writes))
if #gone > 0 then
  redis.call('HDEL', KEYS[1], unpack(gone))
end

if is_void then
  redis.call('DEL', mine)
end
writes = { 'last', ARGV[7], 'of', of }
for number, record in pairs(records) do
  if string.sub(record, -2) == ':0' then
    dropped[#dropped + 1] = number
  else
    writes[#writes + 1], writes[#writes + 2] = number, record
  end
end
redis.call('HSET', mine, unpack(writes))
if #dropped > 0 then
  redis.call('HDEL', mine, unpack(dropped))
end
if redis.call('HLEN', mine) > MOST_RECORDS then
  local numbers = {}
  for _, field in ipairs(redis.call('HKEYS', mine)) do
    numbers[#numbers + 1] = tonumber(field)
  end
  table.sort(numbers)
  dropped = {}
  for at = 1, #numbers - KEPT_RECORDS do
    dropped[at] = text(numbers[at])
  end
  redis.call('HDEL', mine, unpack(dropped))
end

-- All of it expires by itself: by the time of this server, whatever the state's is.
local last_us = slides and (newest + 61) * length + MINUTE_US or state.ends + DAY_US
local ttl_ms = text(math.max(math.ceil((last_us - time) / 1000), 1000))
redis.call('PEXPIRE', KEYS[1], ttl_ms)
redis.call('PEXPIRE', mine, ttl_ms)

local is_pressed = state.pressed > 0 and now - state.pressed <= lease
return reply(0, granted, bucket, expiry, sum, lapse, is_pressed and 1 or 0)
