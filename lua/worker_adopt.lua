--[[ worker_adopt: after a reconnect the claims of all earlier identities move to the new one; the old ones are unknown from then on.
KEYS    1 workers       lockstep:{queue}:workers             zset, worker -> deadline, ms
        2 running       lockstep:{queue}:running:<worker>    hash, fence -> envelope
        3 keys          lockstep:{queue}:keys                hash, key -> state
        4 bodies        lockstep:{queue}:bodies              hash, key -> newest waiting envelope
        5 delayed       lockstep:{queue}:delayed             zset
        6 pending_high  lockstep:{queue}:pending:high        list
        7 pending       lockstep:{queue}:pending             list
        8 pending_low   lockstep:{queue}:pending:low         list
        9 old_1         lockstep:{queue}:running:<old 1>     hash; there are always eight, the unused ones repeat key 2
        10 old_2        lockstep:{queue}:running:<old 2>
        11 old_3        lockstep:{queue}:running:<old 3>
        12 old_4        lockstep:{queue}:running:<old 4>
        13 old_5        lockstep:{queue}:running:<old 5>
        14 old_6        lockstep:{queue}:running:<old 6>
        15 old_7        lockstep:{queue}:running:<old 7>
        16 old_8        lockstep:{queue}:running:<old 8>
ARGV    1 worker  2 lease, ms  3 number of old identities, then each
RETURNS {OK, ms, fence, envelope, ...}: all claims of the new identity; '@' before the fence of a claim by key. Claims keep their fences
COST    O(claims)                       REPEAT  answers the same
FLAGS   allow-oom ]]
local workers, running, keys, bodies, delayed = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local pending_high, pending, pending_low = KEYS[6], KEYS[7], KEYS[8]
local olds = {KEYS[9], KEYS[10], KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]}
local worker, lease, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)

--@include lib/keyed.lua

redis.call('HDEL', running, '')              -- a shrinking write first: Redis 6.2 when it is full
redis.call('ZADD', workers, ms + lease, worker)
local owner = {}                             -- fence -> the identity it comes from
for i = 1, count do
  local old = ARGV[3 + i]
  local claims = redis.call('HGETALL', olds[i])
  redis.call('DEL', olds[i])
  redis.call('ZREM', workers, old)
  for j = 1, #claims, 1000 do
    redis.call('HSET', running, unpack(claims, j, math.min(j + 999, #claims)))
  end
  for j = 1, #claims, 2 do owner[claims[j]] = old end
end

local claims = redis.call('HGETALL', running)
local wanted, out = {}, {'OK', ms}
for i = 1, #claims, 2 do wanted[#wanted + 1] = key_of(claims[i + 1]) end
for i = 1, #wanted, 1000 do
  key_load({unpack(wanted, i, math.min(i + 999, #wanted))})
end
for i = 1, #claims, 2 do
  local f, envelope = claims[i], claims[i + 1]
  local key = key_of(envelope)
  local word, who, under = key_parse(key and state[key])
  local keyed = (word == 'running' or word == 'changed') and under == f and (who == worker or who == owner[f])
  if keyed and who ~= worker then
    key_set(key, key_moved(state[key], worker, f))
  end
  out[i + 2], out[i + 3] = keyed and '@' .. f or f, envelope
end
key_flush()
return out
