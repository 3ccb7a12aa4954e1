-- Has one limit count anew: what was granted until now is forgotten, here at once, and by each node when it next asks.
--
-- KEYS[1] as in lease.lua. Returns 1, or 0 where nothing is counted. `resets` follows the clock, so that it grows over
-- a loss of the state too; the state's time, which a clock that was ahead may have set, is the clock's again.

local function text(number)
  return string.format('%.0f', number)
end

local clock = redis.call('TIME')
local time = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local state = redis.call('HMGET', KEYS[1], 'sequence', 'resets')
if not state[1] then
  return 0
end

local resets = math.max(tonumber(state[2]) + 1, time)
local sequence = tonumber(state[1]) + 1
redis.call('HSET', KEYS[1], 'now', text(time), 'sequence', text(sequence), 'resets', text(resets), 'pressed', '0')
local buckets = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if tonumber(field) then
    buckets[#buckets + 1] = field
  end
end
if #buckets > 0 then
  redis.call('HDEL', KEYS[1], unpack(buckets))
end
return 1
