--[[ job_discard: dead jobs are given up for good, a slice a call.
KEYS    1 dead         lockstep:{queue}:dead          list, letters, newest first
        2 dead_groups  lockstep:{queue}:dead:groups   hash, group -> count first last sample
        3 control      lockstep:{queue}:control       hash
        4 stats        lockstep:{queue}:stats         hash
        5 stats_ring   lockstep:{queue}:stats:ring    hash
ARGV    1 1: the letters stand at the tail, 0: at the head  2 number of letters, then: letter group
RETURNS {OK, ms, moved, left in dead}
COST    O(letters) at an end of dead, O(its length) a letter elsewhere
REPEAT  does nothing for a letter that is gone ]]
local dead, dead_groups, control, stats, stats_ring = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local from_tail, letters = ARGV[1] == '1', tonumber(ARGV[2])
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)

--@include lib/count.lua
--@include lib/letters.lua

local moved = 0
for i = 1, letters do
  if unbury(ARGV[2 * i + 1], ARGV[2 * i + 2], from_tail) then moved = moved + 1 end
end
count('discarded', moved)
return {'OK', ms, moved, redis.call('LLEN', dead)}
