--[[ key_heal: keys that wait without a pointer (somebody deleted it by hand) or run without a worker get one again, looked for while the
lanes are empty, as then no pointer can be hiding there; accounts have as many jobs running as slots says, and one that holds jobs stands
in the ring. A slice a call.
KEYS    1 pending_high  lockstep:{queue}:pending:high   list
        2 pending       lockstep:{queue}:pending        list
        3 pending_low   lockstep:{queue}:pending:low    list
        4 delayed       lockstep:{queue}:delayed        zset
        5 reserved      lockstep:{queue}:reserved       zset
        6 held          lockstep:{queue}:held           zset
        7 keys          lockstep:{queue}:keys           hash, key -> state (lib/keyed.lua)
        8 bodies        lockstep:{queue}:bodies         hash, key -> newest waiting envelope
        9 workers       lockstep:{queue}:workers        zset
        10 wake         lockstep:{queue}:wake           list of tokens
        11 control      lockstep:{queue}:control        hash, cursors
        12 stats        lockstep:{queue}:stats          hash
        13 stats_ring   lockstep:{queue}:stats:ring     hash
        14 slots        lockstep:{queue}:slots          hash, fence -> account whose place it holds
        15 limits       lockstep:{queue}:limits         hash, <account>/running
        16 ring         lockstep:{queue}:ring           zset, account -> when to look
ARGV    1 keys looked at, about  2 accounts whose places are counted, at most
RETURNS {OK, ms, healed, more 0|1}: there are more keys to look at
COST    O(keys looked at + slots)       REPEAT  looks at the next slice ]]
local pending_high, pending, pending_low, delayed, reserved = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local held, keys, bodies, workers, wake, control = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local stats, stats_ring, slots, limits, ring = KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)

--@include lib/count.lua
--@include lib/keyed.lua

local healed, more = 0, 0
local function heal(key, text)
  local word, a, b, c = key_parse(text)
  local lane = rank[b] and b or 'normal'
  if word == 'running' or word == 'changed' then
    if worker_alive(a) then return end
    lane = rank[c] and c or 'normal'
  elseif word == 'pending' then
    if redis.call('ZSCORE', reserved, '@' .. key) then return end
  elseif word and redis.call('ZSCORE', delayed, '@' .. key) then
    return
  end
  healed = healed + 1
  state[key] = text
  if redis.call('HEXISTS', bodies, key) == 0 then
    key_set(key, false)
  elseif word == 'retrying' or word == 'scheduled' then
    key_delay(key, word, tonumber(a), lane, c)
  else
    key_pend(key, lane)
  end
end
if redis.call('EXISTS', pending_high, pending, pending_low, held) == 0 then
  local page = redis.call('HSCAN', keys, redis.call('HGET', control, 'heal_cursor') or '0', 'COUNT', ARGV[1])
  for i = 1, #page[2], 2 do heal(page[2][i], page[2][i + 1]) end
  key_flush()
  redis.call('HSET', control, 'heal_cursor', page[1])
  if page[1] ~= '0' then more = 1 end
end

-- The places of accounts: what slots says holds, what running says was counted.
local truth = {}
for _, account in ipairs(redis.call('HVALS', slots)) do truth[account] = (truth[account] or 0) + 1 end
local fields = redis.call('HSCAN', limits, redis.call('HGET', control, 'limit_cursor') or '0', 'COUNT', 10 * ARGV[2])
for i = 1, #fields[2], 2 do
  local account = string.match(fields[2][i], '^(.*)/running$')
  if account and tonumber(fields[2][i + 1]) ~= (truth[account] or 0) then
    healed = healed + 1
    if truth[account] then
      redis.call('HSET', limits, account .. '/running', truth[account])
    else
      redis.call('HDEL', limits, account .. '/running')
    end
    redis.call('ZADD', ring, 'NX', us, account)
  end
end
redis.call('HSET', control, 'limit_cursor', fields[1])

-- An account that holds jobs is looked at some time.
local from = redis.call('HGET', control, 'held_cursor') or '-'
for _ = 1, tonumber(ARGV[2]) do
  local member = redis.call('ZRANGEBYLEX', held, from, '+', 'LIMIT', 0, 1)[1]
  if not member then
    from = '-'
    break
  end
  local account = string.match(member, '^%S*')
  healed = healed + redis.call('ZADD', ring, 'NX', us, account)
  from = '(' .. account .. '!'
end
redis.call('HSET', control, 'held_cursor', from)
if healed > 0 then
  count('healed', healed)
  if redis.call('EXISTS', wake) == 0 then redis.call('LPUSH', wake, '1') end
end
return {'OK', ms, healed, more}
