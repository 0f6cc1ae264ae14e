--[[ worker_steal: the claims of a dead worker move to a living one under new fences, a slice a call.
KEYS    1 workers       lockstep:{queue}:workers             zset, worker -> deadline, ms
        2 running       lockstep:{queue}:running:<thief>     hash, fence -> envelope
        3 victims       lockstep:{queue}:running:<victim>    hash
        4 fence         lockstep:{queue}:fence               string, last claim number
        5 keys          lockstep:{queue}:keys                hash, key -> state
        6 bodies        lockstep:{queue}:bodies              hash, key -> newest waiting envelope
        7 delayed       lockstep:{queue}:delayed             zset
        8 pending_high  lockstep:{queue}:pending:high        list
        9 pending       lockstep:{queue}:pending             list
        10 pending_low  lockstep:{queue}:pending:low         list
        11 stats        lockstep:{queue}:stats               hash
        12 stats_ring   lockstep:{queue}:stats:ring          hash
        13 control      lockstep:{queue}:control             hash
        14 slots        lockstep:{queue}:slots               hash, fence -> account whose place it holds
        15 progress     lockstep:{queue}:progress            hash, fence -> how far it is
ARGV    1 thief  2 victim  3 known_dead 0|1: its process is known to have ended  4 claims at most
RETURNS {OK|MORE, ms, fence, envelope, old fence, ...} with '@' before the fence of a claim by key
        {ALIVE, ms, lease left}: nothing was done | {FENCED, ms}: the thief is not alive itself
COST    O(claims of the victim)         REPEAT  answers {OK}: nothing is left there
FLAGS   allow-oom ]]
local workers, running, victims, fence, keys, bodies, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local pending_high, pending, pending_low = KEYS[8], KEYS[9], KEYS[10]
local stats, stats_ring, control, slots, progress = KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15]
local thief, victim, known_dead, max = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)

--@include lib/keyed.lua
--@include lib/count.lua

local mine = redis.call('ZSCORE', workers, thief)
if thief == victim or not mine or tonumber(mine) < ms then return {'FENCED', ms} end
local deadline = redis.call('ZSCORE', workers, victim)
if deadline and tonumber(deadline) >= ms and not known_dead then return {'ALIVE', ms, tonumber(deadline) - ms} end

-- A victim that is unknown but still has claims (a slice was taken before) is taken too: nobody renews its lease.
local fences = redis.call('HKEYS', victims)
local taken, wanted = {}, {}
for i = 1, math.min(#fences, max) do taken[i] = fences[i] end
if #taken == #fences then redis.call('ZREM', workers, victim) end
if #taken == 0 then return {'OK', ms} end
local envelopes = redis.call('HMGET', victims, unpack(taken))
redis.call('HDEL', victims, unpack(taken))
for i = 1, #taken do wanted[#wanted + 1] = key_of(envelopes[i]) end
key_load(wanted)

local last = tonumber(redis.call('GET', fence) or '0') or 0
local base = us
if base <= last then base = last + 1 end
local claims, out = {}, {#taken == #fences and 'OK' or 'MORE', ms}
for i = 1, #taken do
  local f = string.format('%.0f', base + i - 1)
  local key = key_of(envelopes[i])
  local word, who, under = key_parse(key and state[key])
  local keyed = (word == 'running' or word == 'changed') and who == victim and under == taken[i]
  if keyed then key_set(key, key_moved(state[key], thief, f)) end
  claims[2 * i - 1], claims[2 * i] = f, envelopes[i]
  out[3 * i], out[3 * i + 1], out[3 * i + 2] = keyed and '@' .. f or f, envelopes[i], taken[i]
end
if redis.call('EXISTS', slots, progress) > 0 then
  local places, moved = redis.call('HMGET', slots, unpack(taken)), {}
  redis.call('HDEL', slots, unpack(taken))
  redis.call('HDEL', progress, unpack(taken))
  for i = 1, #taken do
    if places[i] then
      moved[#moved + 1] = claims[2 * i - 1]
      moved[#moved + 1] = places[i]
    end
  end
  if #moved > 0 then redis.call('HSET', slots, unpack(moved)) end
end
redis.call('SET', fence, string.format('%.0f', base + #taken - 1))
redis.call('HSET', running, unpack(claims))
key_flush()
count('stolen', #taken)
return out
