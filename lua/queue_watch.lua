--[[ queue_watch: what the alerts of a queue look at, in one call.
KEYS    1 stats        lockstep:{queue}:stats         hash, counter -> total
        2 stats_ring   lockstep:{queue}:stats:ring    hash, minute/counter -> count
        3 dead         lockstep:{queue}:dead          list
        4 dead_groups  lockstep:{queue}:dead:groups   hash, group -> count first last sample
ARGV    1 window, ms  2 and so on: counters
RETURNS {OK, ms, length of dead, {total of each counter}, {sum of each in the window}, {group, row, ...}}
COST    O(minutes of the window * counters + groups); the ring holds three hours
REPEAT  reads only ]]
local stats, stats_ring, dead, dead_groups = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local totals, sums = {}, {}
local found = redis.call('HMGET', stats, unpack(ARGV, 2))
for i = 1, #ARGV - 1 do totals[i], sums[i] = tonumber(found[i] or '0') or 0, 0 end
-- The whole minute in which the window begins, too: cut at full minutes, a window would forget what happened seconds ago.
local last = math.floor(ms / 60000)
local first = math.max(math.floor((ms - tonumber(ARGV[1])) / 60000), last - 181)
for minute = first, last do
  local fields = {}
  for i = 1, #ARGV - 1 do fields[i] = string.format('%.0f/%s', minute, ARGV[i + 1]) end
  found = redis.call('HMGET', stats_ring, unpack(fields))
  for i = 1, #ARGV - 1 do sums[i] = sums[i] + (tonumber(found[i] or '0') or 0) end
end
return {'OK', ms, redis.call('LLEN', dead), totals, sums, redis.call('HGETALL', dead_groups)}
