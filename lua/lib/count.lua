-- lib/count: counters. Wants ms, stats, stats_ring, control. Totals in stats; per minute in stats_ring, of which three hours are
-- kept: whenever a minute gets a new field, one slice of the ring is looked through for old ones.
local minute = math.floor(ms / 60000)
local function count(name, delta)
  if delta == 0 then return end
  redis.call('HINCRBY', stats, name, delta)
  if redis.call('HINCRBY', stats_ring, string.format('%d/%s', minute, name), delta) ~= tonumber(delta) then return end
  local page = redis.call('HSCAN', stats_ring, redis.call('HGET', control, 'ring_cursor') or '0', 'COUNT', 64)
  redis.call('HSET', control, 'ring_cursor', page[1])
  for i = 1, #page[2], 2 do
    local field = page[2][i]
    local at = tonumber(string.match(field, '^(%d+)/'))
    if not at or at < minute - 180 then redis.call('HDEL', stats_ring, field) end
  end
end
