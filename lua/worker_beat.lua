--[[ worker_beat: a worker that claims nothing renews its lease, and hears whose leases ran out.
KEYS    1 workers  lockstep:{queue}:workers   zset, worker -> deadline, ms
ARGV    1 worker  2 lease, ms  3 name at most so many
RETURNS {OK, ms, worker, ...}: those whose lease ran out, longest ago first | {FENCED, ms}: the worker is unknown, nothing was done
COST    O(log n + answers), n = workers  REPEAT  renews again
FLAGS   allow-oom ]]
local workers = KEYS[1]
local worker, lease, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
if not redis.call('ZSCORE', workers, worker) then return {'FENCED', ms} end
redis.call('ZREM', workers, '')              -- a shrinking write first: Redis 6.2 when it is full
redis.call('ZADD', workers, 'XX', ms + lease, worker)
local out = redis.call('ZRANGEBYSCORE', workers, '-inf', ms - 1, 'LIMIT', 0, most)
table.insert(out, 1, ms)
table.insert(out, 1, 'OK')
return out
