--[[ dead_date: letters have left some groups; since when the oldest that is left lies there.
KEYS    1 dead_groups  lockstep:{queue}:dead:groups   hash, group -> count first last sample
ARGV    1 number of groups, then: group first as it was read, ms first as it should be, ms
RETURNS {OK, ms, rows changed}: a row that has changed since it was read is left alone
COST    O(groups)                       REPEAT  changes nothing ]]
local dead_groups = KEYS[1]
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local changed = 0
for i = 1, tonumber(ARGV[1]) do
  local group, was, is = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
  local n, first, last, sample = string.match(redis.call('HGET', dead_groups, group) or '', '^(%d+) (%d+) (%d+) (.*)$')
  if first == was and first ~= is then
    redis.call('HSET', dead_groups, group, string.format('%s %s %s %s', n, is, last, sample))
    changed = changed + 1
  end
end
return {'OK', ms, changed}
