--[[ job_cancel: jobs are dropped when they are claimed, at once where they wait under a key; runners ask those that run to stop.
KEYS    1 cancelled  lockstep:{queue}:cancelled   zset, id, or '@<fence>' of a run -> expiry, ms
        2 control    lockstep:{queue}:control     hash, cancel_serial: runners look when it has changed
        3 keys       lockstep:{queue}:keys        hash, key -> state (lib/keyed.lua)
        4 bodies     lockstep:{queue}:bodies      hash, key -> newest waiting envelope
        5 workers    lockstep:{queue}:workers     zset
        6 wake       lockstep:{queue}:wake        list of tokens
        7 stats      lockstep:{queue}:stats       hash
        8 stats_ring lockstep:{queue}:stats:ring  hash
        9 status     lockstep:{queue}:status:<id> string; of the one id in this call, where it has one
ARGV    1 for how long they are remembered, ms  2 a key, '' = none  3 1: set the status, 0: leave it, then ids
RETURNS {OK, ms, new, dropped: a body that waited under the key, running 0|1: the key runs}
COST    O(ids)                          REPEAT  renews the expiry ]]
local cancelled, control, keys, bodies, workers, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local stats, stats_ring, status = KEYS[7], KEYS[8], KEYS[9]
local ttl, key = tonumber(ARGV[1]), ARGV[2]
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)

--@include lib/count.lua

local RUN_MS = 600000                        -- by then its runner has asked, or lost it
local new, dropped, runs = 0, 0, 0
for i = 4, #ARGV do new = new + redis.call('ZADD', cancelled, ms + ttl, ARGV[i]) end
if key ~= '' then
  local state = redis.call('HGET', keys, key) or ''
  local word, worker, under = string.match(state, '^(%a+) (%S+) (%S+)')
  dropped = redis.call('HDEL', bodies, key)
  if (word == 'running' or word == 'changed') and redis.call('ZSCORE', workers, worker) then
    runs = 1
    redis.call('HSET', keys, key, 'running ' .. worker .. ' ' .. under)
    new = new + redis.call('ZADD', cancelled, ms + math.min(ttl, RUN_MS), '@' .. under)  -- this run, no later one of the key
  else
    redis.call('HDEL', keys, key)            -- a pointer that is left is surplus
  end
  count('cancelled', dropped)
end
local stands = ARGV[3] == '1' and redis.call('GET', status)
if stands == 'pending' or stands == 'retrying' then redis.call('SET', status, 'cancelled', 'KEEPTTL') end
local old = redis.call('ZRANGEBYSCORE', cancelled, '-inf', ms, 'LIMIT', 0, 64)
if #old > 0 then redis.call('ZREM', cancelled, unpack(old)) end
redis.call('HINCRBY', control, 'cancel_serial', 1)
for _ = redis.call('LLEN', wake) + 1, math.min(redis.call('ZCARD', workers), 64) do redis.call('LPUSH', wake, '1') end
return {'OK', ms, new, dropped, runs}
