--[[ job_redrive: dead jobs run again, a slice a call.
KEYS    1 dead          lockstep:{queue}:dead           list, letters, newest first
        2 dead_groups   lockstep:{queue}:dead:groups    hash, group -> count first last sample
        3 pending_high  lockstep:{queue}:pending:high   list
        4 pending       lockstep:{queue}:pending        list
        5 pending_low   lockstep:{queue}:pending:low    list
        6 delayed       lockstep:{queue}:delayed        zset
        7 keys          lockstep:{queue}:keys           hash, key -> state (lib/keyed.lua)
        8 bodies        lockstep:{queue}:bodies         hash, key -> newest waiting envelope
        9 workers       lockstep:{queue}:workers        zset, worker -> deadline, ms
        10 wake         lockstep:{queue}:wake           list of tokens
        11 control      lockstep:{queue}:control        hash
        12 stats        lockstep:{queue}:stats          hash
        13 stats_ring   lockstep:{queue}:stats:ring     hash
ARGV    1 where the letters are: oldest (the end of the list, oldest first, without a gap), head or tail (anywhere, nearer to that end)
        2 oldest: the letter that was turned last, or ''  3 number of letters, then: letter take(1|0, 0 with oldest only) group key envelope
RETURNS {OK, ms, moved, left in dead, 1: what was turned lies together} | {CHANGED, ms, 0, left in dead}: not the oldest, nothing was done
COST    oldest: O(letters); else O(length of dead) a letter
REPEAT  does nothing: the letters are gone ]]
local dead, dead_groups, pending_high, pending, pending_low = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local delayed, keys, bodies, workers, wake = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local control, stats, stats_ring = KEYS[11], KEYS[12], KEYS[13]
local where, mark, letters = ARGV[1], ARGV[2], tonumber(ARGV[3])
local first, width = 4, 5
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)

--@include lib/count.lua
--@include lib/keyed.lua
--@include lib/letters.lua

local function push(at)
  local key, envelope = ARGV[at + 3], ARGV[at + 4]
  local lane = lane_of(envelope)
  if key == '' then
    redis.call('RPUSH', lanes[lane], envelope)
    return
  end
  key_load({key})
  local word, worker = key_parse(state[key])
  -- What waits for the key is newer than what died: then that one stays.
  if not word or word == 'running' or (word == 'changed' and not worker_alive(worker)) then key_push(key, envelope, NOW) end
end

local moved, together = letters_take(push)
if not moved then return {'CHANGED', ms, 0, redis.call('LLEN', dead)} end
letters_flush()
key_flush()
count('redriven', moved)
if moved > 0 and redis.call('EXISTS', wake) == 0 then redis.call('LPUSH', wake, '1') end
return {'OK', ms, moved, redis.call('LLEN', dead), together and 1 or 0}
