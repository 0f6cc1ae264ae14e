--[[ job_push_keyed: many keyed jobs in one call; the newest body of a key wins, one run of a key at a time.
KEYS    1 pending_high  lockstep:{queue}:pending:high   list
        2 pending       lockstep:{queue}:pending        list
        3 pending_low   lockstep:{queue}:pending:low    list
        4 delayed       lockstep:{queue}:delayed        zset, '@key' -> due, ms
        5 keys          lockstep:{queue}:keys           hash, key -> state (lib/keyed.lua)
        6 bodies        lockstep:{queue}:bodies         hash, key -> newest waiting envelope
        7 workers       lockstep:{queue}:workers        zset, worker -> deadline, ms
        8 wake          lockstep:{queue}:wake           list of tokens
        9 control       lockstep:{queue}:control        hash, bound, closed
        10 stats        lockstep:{queue}:stats          hash
        11 stats_ring   lockstep:{queue}:stats:ring     hash
        12 held         lockstep:{queue}:held           zset, counted as waiting
        13 ids          lockstep:{queue}:ids            zset, id -> expiry, ms
        14 status       lockstep:{queue}:status:<id>    string; of the one job in this call, if ARGV 2 asks for it
ARGV    1 bound of the caller, 0 = none  2 for how long status is kept, ms, 0 = no status
        3 mode: latest, keep (a body that waits stays), reject (nothing is taken while the key waits or runs)
        4 debounce, ms: not before so long after the newest push, 0 = none  5 max_wait, ms: but at most so long after the first, 0 = none
        6 for how long ids are remembered, ms  7 number of jobs, then: key delay id envelope, id '' = it is not looked up
RETURNS {OK, ms, pushed, coalesced, changed, kept, rejected, known} | {FULL, ms, waiting, bound} | {CLOSED, ms, who and why}: nothing was pushed
COST    O(jobs)                         REPEAT  coalesces; without an id it runs once more after a run that began in between ]]
local pending_high, pending, pending_low, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local keys, bodies, workers, wake = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local control, stats, stats_ring, held, ids, status = KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14]
local bound, status_ttl, ids_ttl, jobs = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[6]), tonumber(ARGV[7])
local rule = {mode = ARGV[3], delay = 0, debounce = tonumber(ARGV[4]), max_wait = tonumber(ARGV[5])}
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)

--@include lib/count.lua
--@include lib/keyed.lua
--@include lib/room.lua
--@include lib/ids.lua

local refusal = room()
if refusal then return refusal end

local wanted = {}
for i = 1, jobs do wanted[i] = ARGV[4 * i + 4] end
key_load(wanted)
local tally = {pushed = 0, coalesced = 0, changed = 0, kept = 0, rejected = 0, known = 0}
for i = 1, jobs do
  local id, outcome = ARGV[4 * i + 6], 'known'
  if id == '' or not id_known(id) then
    rule.delay = tonumber(ARGV[4 * i + 5])
    outcome = key_push(wanted[i], ARGV[4 * i + 7], rule)
    if id ~= '' and outcome ~= 'rejected' then id_remember(id) end
  end
  tally[outcome] = tally[outcome] + 1
end
key_flush()
ids_forget()
if status_ttl > 0 and tally.rejected + tally.kept + tally.known == 0 then redis.call('SET', status, 'pending', 'PX', status_ttl) end
count('pushed', tally.pushed)
count('coalesced', tally.coalesced + tally.changed + tally.kept)
count('rejected', tally.rejected)
if redis.call('EXISTS', wake) == 0 then redis.call('LPUSH', wake, '1') end
return {'OK', ms, tally.pushed, tally.coalesced, tally.changed, tally.kept, tally.rejected, tally.known}
