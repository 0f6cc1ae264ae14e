--[[ job_discard: dead jobs are given up for good, a slice a call; a line of the log says by whom and why.
KEYS    1 dead         lockstep:{queue}:dead             list, letters, newest first
        2 dead_groups  lockstep:{queue}:dead:groups      hash, group -> count first last sample
        3 discarded    lockstep:{queue}:dead:discarded   list, what was discarded, newest first, 1,000 lines of JSON
        4 control      lockstep:{queue}:control          hash
        5 stats        lockstep:{queue}:stats            hash
        6 stats_ring   lockstep:{queue}:stats:ring       hash
ARGV    1 where the letters are: oldest, head or tail (job_redrive)  2 oldest: the letter that was turned last, or ''
        3 number of letters  4 the line of the log without its end: a JSON object, to which ,"jobs":N} is added; the same text in each slice
        then: letter take(1|0, 0 with oldest only) group
RETURNS {OK, ms, moved, left in dead, 1: what was turned lies together} | {CHANGED, ms, 0, left in dead}: not the oldest, nothing was done
COST    oldest: O(letters); else O(length of dead) a letter
REPEAT  does nothing: the letters are gone ]]
local dead, dead_groups, discarded, control, stats, stats_ring = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local where, mark, letters, line = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local first, width = 5, 3
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)

--@include lib/count.lua
--@include lib/letters.lua

-- Slices of one command are one line, though others may discard in between.
local function note(jobs)
  local lines = redis.call('LRANGE', discarded, 0, 15)
  for i = 1, #lines do
    local before = string.sub(lines[i], 1, #line) == line and string.match(string.sub(lines[i], #line + 1), '^,"jobs":(%d+)}$')
    if before then
      redis.call('LSET', discarded, i - 1, line .. string.format(',"jobs":%.0f}', before + jobs))
      return
    end
  end
  redis.call('LPUSH', discarded, line .. string.format(',"jobs":%.0f}', jobs))
  redis.call('LTRIM', discarded, 0, 999)
end

local moved, together = letters_take(function() end)
if not moved then return {'CHANGED', ms, 0, redis.call('LLEN', dead)} end
letters_flush()
if moved > 0 then note(moved) end
count('discarded', moved)
return {'OK', ms, moved, redis.call('LLEN', dead), together and 1 or 0}
