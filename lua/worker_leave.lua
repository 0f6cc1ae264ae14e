--[[ worker_leave: a worker with nothing left in hand gives up its lease.
KEYS    1 workers  lockstep:{queue}:workers            zset, worker -> deadline, ms
        2 running  lockstep:{queue}:running:<worker>   hash, fence -> envelope
ARGV    1 worker
RETURNS {OK} | {BUSY, claims} | {GONE}
COST    O(log n), n = workers           REPEAT  answers GONE; harmless ]]
local workers, running = KEYS[1], KEYS[2]
local worker = ARGV[1]
local claims = redis.call('HLEN', running)
if claims > 0 then return {'BUSY', claims} end                 -- settle or give back first: a lease guards them
if redis.call('ZREM', workers, worker) == 0 then return {'GONE'} end
return {'OK'}
