--[[ job_cancelled: which of the jobs that a runner has in hand are to stop? Asked when cancel_serial has changed.
KEYS    1 cancelled  lockstep:{queue}:cancelled   zset, id, or '@<fence>' of a run -> expiry, ms
ARGV    ids, and '@<fence>' of runs that were claimed by key
RETURNS {OK, ms, place in ARGV (from 1), ...}
COST    O(ids)                          REPEAT  reads only ]]
local cancelled = KEYS[1]
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local out = {'OK', ms}
for i = 1, #ARGV do
  if redis.call('ZSCORE', cancelled, ARGV[i]) then out[#out + 1] = i end
end
return out
