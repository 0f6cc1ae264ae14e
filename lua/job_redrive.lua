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
ARGV    1 1: the letters stand at the tail, 0: at the head  2 number of letters, then: letter group key envelope
RETURNS {OK, ms, moved, left in dead}
COST    O(letters) at an end of dead, O(its length) a letter elsewhere
REPEAT  does nothing for a letter that is gone ]]
local dead, dead_groups, pending_high, pending, pending_low = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local delayed, keys, bodies, workers, wake = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local control, stats, stats_ring = KEYS[11], KEYS[12], KEYS[13]
local from_tail, letters = ARGV[1] == '1', tonumber(ARGV[2])
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)

--@include lib/count.lua
--@include lib/keyed.lua
--@include lib/letters.lua

local moved = 0
for i = 1, letters do
  local letter, group, key, envelope = ARGV[4 * i - 1], ARGV[4 * i], ARGV[4 * i + 1], ARGV[4 * i + 2]
  if unbury(letter, group, from_tail) then
    moved = moved + 1
    local lane = lane_of(envelope)
    if key == '' then
      redis.call('RPUSH', lanes[lane], envelope)
    else
      key_load({key})
      local word, worker = key_parse(state[key])
      local claimed = (word == 'running' or word == 'changed') and worker_alive(worker)
      -- What waits for the key is newer than what died: then that one stays.
      if not word or (word == 'running' and claimed) or ((word == 'running' or word == 'changed') and not claimed) then
        key_push(key, envelope, NOW)
      end
    end
  end
end
key_flush()
count('redriven', moved)
if moved > 0 and redis.call('EXISTS', wake) == 0 then redis.call('LPUSH', wake, '1') end
return {'OK', ms, moved, redis.call('LLEN', dead)}
