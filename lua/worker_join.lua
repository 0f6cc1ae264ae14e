--[[ worker_join: a new worker makes itself known and begins its lease.
KEYS    1 workers  lockstep:{queue}:workers            zset, worker -> deadline, ms
        2 running  lockstep:{queue}:running:<worker>   hash, fence -> envelope
        3 control  lockstep:{queue}:control            hash, schema
ARGV    1 worker  2 lease, ms  3 schema version of the caller
RETURNS {OK, ms} | {BUSY, ms, claims}: somebody of this name holds claims | {SCHEMA, ms, version}: another version wrote here
COST    O(log n), n = workers           REPEAT  renews the lease
FLAGS   allow-oom ]]
local workers, running, control = KEYS[1], KEYS[2], KEYS[3]
local worker, lease, schema = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('HGET', control, 'schema')
if found and found ~= schema then return {'SCHEMA', ms, found} end
local claims = redis.call('HLEN', running)
if claims > 0 then return {'BUSY', ms, claims} end
redis.call('HDEL', running, '')              -- a shrinking write first: Redis 6.2 when it is full
if not found then redis.call('HSET', control, 'schema', schema) end
redis.call('ZADD', workers, ms + lease, worker)
return {'OK', ms}
