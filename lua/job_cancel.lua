--[[ job_cancel: drop these jobs when they are claimed.
KEYS    1 cancelled  lockstep:{queue}:cancelled   zset, id -> expiry, ms
ARGV    1 for how long ids are remembered, ms, then ids
RETURNS {OK, ms, new}
COST    O(ids)                          REPEAT  renews the expiry ]]
local cancelled = KEYS[1]
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local new = 0
for i = 2, #ARGV do new = new + redis.call('ZADD', cancelled, ms + tonumber(ARGV[1]), ARGV[i]) end
local old = redis.call('ZRANGEBYSCORE', cancelled, '-inf', ms, 'LIMIT', 0, 64)
if #old > 0 then redis.call('ZREM', cancelled, unpack(old)) end
return {'OK', ms, new}
