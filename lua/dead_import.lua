--[[ dead_import: letters from a file lie in dead again, a slice a call.
KEYS    1 dead         lockstep:{queue}:dead          list, letters, newest first
        2 dead_groups  lockstep:{queue}:dead:groups   hash, group -> count first last sample
        3 control      lockstep:{queue}:control       hash
        4 stats        lockstep:{queue}:stats         hash
        5 stats_ring   lockstep:{queue}:stats:ring    hash
ARGV    1 number of letters, then, oldest first: letter group ('' = none) when it died, ms sample
RETURNS {OK, ms, imported, length of dead}
COST    O(letters)
REPEAT  adds nothing, as long as its last letter is among the newest 1,024: who has it there was here before ]]
local dead, dead_groups, control, stats, stats_ring = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local letters = tonumber(ARGV[1])
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)

--@include lib/count.lua

local function join(group, died, sample)
  if died < 1 or died > ms then died = ms end  -- it does not say, or says what cannot be
  local row = group ~= '' and redis.call('HGET', dead_groups, group)
  if not row and (group == '' or redis.call('HLEN', dead_groups) >= 1000) then
    group, sample = 'other', 'groups beyond the first thousand'
    row = redis.call('HGET', dead_groups, group)
  end
  local n, from, to, text = string.match(row or '', '^(%d+) (%d+) (%d+) (.*)$')
  redis.call('HSET', dead_groups, group, string.format('%.0f %.0f %.0f %s', (n or 0) + 1, math.min(from or died, died), math.max(to or died, died),
    text or sample))
end

local again = redis.call('LPOS', dead, ARGV[4 * letters - 2], 'MAXLEN', 1024)
local imported, there = 0, {}
for i = 1, letters do
  local at = 4 * i - 2
  if not there[ARGV[at]] and not (again and redis.call('LPOS', dead, ARGV[at], 'MAXLEN', 1024)) then
    there[ARGV[at]] = true
    redis.call('LPUSH', dead, ARGV[at])      -- the first write: a full Redis refuses the slice whole
    join(ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3])
    imported = imported + 1
  end
end
count('imported', imported)
return {'OK', ms, imported, redis.call('LLEN', dead)}
