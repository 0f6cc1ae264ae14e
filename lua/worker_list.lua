--[[ worker_list: who is there, and what its lease has left.
KEYS    1 workers  lockstep:{queue}:workers   zset, worker -> deadline, ms
ARGV    1 at most so many
RETURNS {OK, ms, worker, ms left (negative: ran out), ...}, soonest first
COST    O(answers)                      REPEAT  reads only ]]
local workers = KEYS[1]
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local rows = redis.call('ZRANGE', workers, 0, tonumber(ARGV[1]) - 1, 'WITHSCORES')
local out = {'OK', ms}
for i = 1, #rows, 2 do
  out[i + 2], out[i + 3] = rows[i], tonumber(rows[i + 1]) - ms
end
return out
