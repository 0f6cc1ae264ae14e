--[[ job_push: many plain jobs in one call.
KEYS    1 pending_high  lockstep:{queue}:pending:high   list
        2 pending       lockstep:{queue}:pending        list
        3 pending_low   lockstep:{queue}:pending:low    list
        4 delayed       lockstep:{queue}:delayed        zset, envelope -> due, ms
        5 ids           lockstep:{queue}:ids            zset, id -> expiry, ms
        6 wake          lockstep:{queue}:wake           list of tokens
        7 control       lockstep:{queue}:control        hash, bound, closed
        8 stats         lockstep:{queue}:stats          hash
        9 stats_ring    lockstep:{queue}:stats:ring     hash
        10 held         lockstep:{queue}:held           zset, counted as waiting
        11 status       lockstep:{queue}:status:<id>    string; of the one job in this call, if ARGV 3 asks for it
ARGV    1 bound of the caller, 0 = none  2 for how long ids are remembered, ms  3 for how long status is kept, ms, 0 = no status
        4 number for high  5 for normal  6 for low  7 delayed  8 with ids, then
        envelopes for high, for normal, for low; delayed: delay envelope; with ids: lane delay id envelope
RETURNS {OK, ms, pushed, known} | {FULL, ms, waiting, bound} | {CLOSED, ms, who and why}: nothing was pushed
COST    O(jobs)                         REPEAT  pushes again, but for jobs with ids ]]
local pending_high, pending, pending_low, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ids, wake, control, stats, stats_ring, held, status = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local lanes = {high = pending_high, normal = pending, low = pending_low}
local bound, ids_ttl, status_ttl = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)

--@include lib/count.lua
--@include lib/room.lua
--@include lib/ids.lua

local refusal = room()
if refusal then return refusal end

local at, pushed, known = 9, 0, 0
local function push_lane(lane, n)
  local last = at + n - 1
  while at <= last do
    local stop = math.min(at + 999, last)
    redis.call('RPUSH', lane, unpack(ARGV, at, stop))
    at = stop + 1
  end
  pushed = pushed + n
end
push_lane(pending_high, tonumber(ARGV[4]))
push_lane(pending, tonumber(ARGV[5]))
push_lane(pending_low, tonumber(ARGV[6]))
for _ = 1, tonumber(ARGV[7]) do
  redis.call('ZADD', delayed, ms + tonumber(ARGV[at]), ARGV[at + 1])
  at, pushed = at + 2, pushed + 1
end
for _ = 1, tonumber(ARGV[8]) do
  local lane, delay, id, envelope = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2], ARGV[at + 3]
  if id_known(id) then
    known = known + 1
  else
    id_remember(id)
    if delay > 0 then redis.call('ZADD', delayed, ms + delay, envelope) else redis.call('RPUSH', lanes[lane], envelope) end
    pushed = pushed + 1
  end
  at = at + 4
end
if status_ttl > 0 and pushed > 0 then redis.call('SET', status, 'pending', 'PX', status_ttl) end
count('pushed', pushed)
ids_forget()
if pushed > 0 and redis.call('EXISTS', wake) == 0 then redis.call('LPUSH', wake, '1') end
return {'OK', ms, pushed, known}
