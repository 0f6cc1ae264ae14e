--[[ worker_turn: settle what has ended, renew the lease, promote due jobs, claim new ones; one trip for a whole batch.
KEYS    1 pending_high  lockstep:{queue}:pending:high      list, envelope or '@key'
        2 pending       lockstep:{queue}:pending           list
        3 pending_low   lockstep:{queue}:pending:low       list
        4 running       lockstep:{queue}:running:<worker>  hash, fence -> envelope
        5 workers       lockstep:{queue}:workers           zset, worker -> deadline, ms
        6 delayed       lockstep:{queue}:delayed           zset, envelope or '@key' -> due, ms
        7 reserved      lockstep:{queue}:reserved          zset, the same, has paid
        8 dead          lockstep:{queue}:dead              list, letters, newest first
        9 dead_groups   lockstep:{queue}:dead:groups       hash, group -> count first last sample
        10 keys         lockstep:{queue}:keys              hash, key -> state (lib/keyed.lua)
        11 bodies       lockstep:{queue}:bodies            hash, key -> newest waiting envelope
        12 limits       lockstep:{queue}:limits            hash, budgets (lib/gcra.lua)
        13 cancelled    lockstep:{queue}:cancelled         zset, id -> expiry, ms
        14 fence        lockstep:{queue}:fence             string, last claim number
        15 wake         lockstep:{queue}:wake              list of tokens
        16 control      lockstep:{queue}:control           hash, paused
        17 stats        lockstep:{queue}:stats             hash, counter -> total
        18 stats_ring   lockstep:{queue}:stats:ring        hash, minute/counter -> count
ARGV    1 worker  2 lease, ms  3 claim at most  4 promote at most  5 number of this turn (which lane goes first)
        6 number of acks  7 number of counters  8 number of settlements, then
        acks: fences of plain jobs that are done
        counters: name delta
        settlements, key '' for a plain claim:
          ack fence key | retry fence key delay envelope | again fence key delay envelope | back fence key envelope
          dead fence key letter group sample | keep fence envelope | rekey fence key envelope
          park account delay reason | charge account requests
RETURNS {OK, ms, next due (ms, 0 = none), settled, pending high, pending, pending low, paused 0|1, fence, envelope, ...}
        with '@' before the fence of a claim by key | {FENCED, ms}: the worker is unknown, nothing was done
COST    O(settlements + claims); an idle turn makes 3 calls
REPEAT  each settlement is gated on its claim, so a repeated one does nothing; claims go on
FLAGS   allow-oom ]]
local pending_high, pending, pending_low = KEYS[1], KEYS[2], KEYS[3]
local running, workers, delayed, reserved = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local dead, dead_groups, keys, bodies = KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local limits, cancelled, fence, wake = KEYS[12], KEYS[13], KEYS[14], KEYS[15]
local control, stats, stats_ring = KEYS[16], KEYS[17], KEYS[18]
local worker, lease, claim, promote = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local number, acks, counters, settlements = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)

-- The lease first: who is unknown may do nothing. When Redis 6.2 is full it refuses a script whose first write may grow; one that
-- can only shrink comes before it then.
local beat = redis.pcall('ZADD', workers, 'XX', 'CH', ms + lease, worker)
if type(beat) == 'table' then
  redis.call('HDEL', running, '')
  beat = redis.call('ZADD', workers, 'XX', 'CH', ms + lease, worker)
end
if beat == 0 and not redis.call('ZSCORE', workers, worker) then return {'FENCED', ms} end

--@include lib/count.lua
--@include lib/keyed.lua
--@include lib/gcra.lua

-- Settle. Everything is gated on the claim being there still.
local settled, at = 0, 9
if acks > 0 then
  settled = redis.call('HDEL', running, unpack(ARGV, at, at + acks - 1))
  count('done', settled)
  at = at + acks
end
for _ = 1, counters do
  count(ARGV[at], ARGV[at + 1])
  at = at + 2
end

local width = {ack = 3, retry = 5, again = 5, back = 4, dead = 6, keep = 3, rekey = 4, park = 4, charge = 3}
local tally = {}
local function bury(letter, group, sample)
  redis.call('LPUSH', dead, letter)
  local known = redis.call('HGET', dead_groups, group)
  if not known and redis.call('HLEN', dead_groups) >= 1000 then
    group, sample = 'other', 'groups beyond the first thousand'
    known = redis.call('HGET', dead_groups, group)
  end
  local n, first, text = string.match(known or '', '^(%d+) (%d+) %d+ (.*)$')
  if not n then n, first, text = '0', string.format('%.0f', ms), sample end
  redis.call('HSET', dead_groups, group, string.format('%.0f %s %.0f %s', n + 1, first, ms, text))
end
local apply = {
  ack = function(f, key) key_done(key, worker, f) end,
  retry = function(f, key, delay, envelope)
    local due = ms + tonumber(delay)
    if key ~= '' then key_later(key, worker, f, due, envelope) else redis.call('ZADD', delayed, due, envelope) end
  end,
  back = function(f, key, envelope)
    local lane = lane_of(envelope)
    if key ~= '' then key_back(key, worker, f, envelope) else redis.call('LPUSH', lanes[lane], envelope) end
  end,
  dead = function(f, key, letter, group, sample)
    bury(letter, group, sample)
    if key ~= '' then key_done(key, worker, f) end
  end,
  rekey = function(f, key, envelope) key_push(key, envelope, 0) end,
}
apply.again = apply.retry
if settlements > 0 then
  local first, wanted = at, {}
  for _ = 1, settlements do
    local verb = ARGV[at]
    if verb ~= 'park' and verb ~= 'charge' and verb ~= 'keep' and ARGV[at + 2] ~= '' then wanted[#wanted + 1] = ARGV[at + 2] end
    at = at + width[verb]
  end
  key_load(wanted)
  at = first
  for _ = 1, settlements do
    local verb, f = ARGV[at], ARGV[at + 1]
    if verb == 'park' then
      budget_park(f, tonumber(ARGV[at + 2]), ARGV[at + 3])
    elseif verb == 'charge' then
      budget_charge(f, tonumber(ARGV[at + 2]))
    elseif verb == 'keep' then
      if redis.call('HEXISTS', running, f) == 1 then
        redis.call('HSET', running, f, ARGV[at + 2])
        settled = settled + 1
      end
    elseif redis.call('HDEL', running, f) == 1 then
      apply[verb](f, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
      tally[verb] = (tally[verb] or 0) + 1
      settled = settled + 1
    end
    at = at + width[verb]
  end
  key_flush()
  budget_flush()
  count('done', tally.ack or 0)
  count('retried', tally.retry or 0)
  count('again', tally.again or 0)
  count('given_back', tally.back or 0)
  count('dead', tally.dead or 0)
  count('rekeyed', tally.rekey or 0)
end

if redis.call('EXISTS', pending_high, pending, pending_low, delayed, reserved) == 0 then
  return {'OK', ms, 0, settled, 0, 0, 0, 0}
end

-- Promote what is due, in slices.
local function head(zset)
  local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) or 0
end
local due = head(delayed)
if due > 0 and due <= ms and promote > 0 then
  local list = redis.call('ZRANGEBYSCORE', delayed, '-inf', ms, 'LIMIT', 0, promote)
  local wanted = {}
  for i = 1, #list do
    if string.byte(list[i]) == 64 then wanted[#wanted + 1] = string.sub(list[i], 2) end
  end
  key_load(wanted)
  for i = 1, #list do
    local item = list[i]
    local lane
    if string.byte(item) == 64 then
      local key = string.sub(item, 2)
      local word, _, wants = key_parse(state[key])
      lane = rank[wants] and wants or 'normal'
      if word == 'retrying' or word == 'scheduled' then
        key_set(key, 'pending ' .. string.format('%.0f', ms) .. ' ' .. lane)
      end
    else
      lane = lane_of(item)
    end
    append[lane][#append[lane] + 1] = item
  end
  redis.call('ZREM', delayed, unpack(list))
  key_flush()
  due = head(delayed)
end

-- Claim.
local paused = redis.call('HEXISTS', control, 'paused')
local out, claims, n = {'OK', ms, 0, settled, 0, 0, 0, paused}, {}, 0
if claim > 0 and paused == 0 then
  local limited, cancelling = false, false
  if redis.call('EXISTS', limits, cancelled) > 0 then
    limited = redis.call('EXISTS', limits) == 1
    cancelling = redis.call('EXISTS', cancelled) == 1
  end
  if cancelling then
    local old = redis.call('ZRANGEBYSCORE', cancelled, '-inf', ms, 'LIMIT', 0, 16)
    if #old > 0 then redis.call('ZREM', cancelled, unpack(old)) end
  end
  local last = tonumber(redis.call('GET', fence) or '0') or 0
  local base = us
  if base <= last then base = last + 1 end
  local deferred, looked, dropped = {}, 0, 0

  local function take(envelope, key)
    local f = string.format('%.0f', base + n)
    n = n + 1
    claims[2 * n - 1], claims[2 * n] = f, envelope
    out[2 * n + 7], out[2 * n + 8] = key and '@' .. f or f, envelope
    if key then
      body_set(key, false)
      key_set(key, 'running ' .. worker .. ' ' .. f)
    end
  end

  -- May this pointer be claimed? Returns true, or nothing when it is surplus.
  local function follow(key, envelope, paid)
    local word, a, b = key_parse(state[key])
    if word == 'running' or word == 'changed' then
      return envelope and not worker_alive(a)
    elseif not envelope then
      if word then key_set(key, false) end   -- nothing to run and nobody to run it: the next push starts afresh
    elseif (word == 'retrying' or word == 'scheduled') and tonumber(a) > ms then
      key_delay(key, word, tonumber(a), b)   -- its time has not come: one pointer in delayed is all it has
    elseif word == 'pending' and tonumber(a) > ms and not paid then
      deferred[#deferred + 1] = a            -- the same in reserved: it has paid for that time
      deferred[#deferred + 1] = '@' .. key
    else
      return true
    end
  end

  local function consider(items, paid)
    local wanted, found = {}, {}
    looked = looked + #items
    for i = 1, #items do
      if string.byte(items[i]) == 64 then wanted[#wanted + 1] = string.sub(items[i], 2) end
    end
    if #wanted > 0 then
      key_load(wanted)
      local texts = redis.call('HMGET', bodies, unpack(wanted))
      for i = 1, #wanted do found[wanted[i]] = texts[i] end
    end
    for i = 1, #items do
      local item = items[i]
      local envelope, key, go = item, nil, true
      if string.byte(item) == 64 then
        key = string.sub(item, 2)
        envelope = found[key]
        go = follow(key, envelope, paid)
      end
      if go and (cancelling or limited) then
        local account, id = string.match(envelope, '^{"account":"([^"]*)","id":"([^"]+)"')
        if not account then id = string.match(envelope, '^{"id":"([^"]+)"') end
        if cancelling and id and redis.call('ZSCORE', cancelled, id) then
          go, dropped = false, dropped + 1
          if key then
            body_set(key, false)
            key_set(key, false)
          end
        elseif limited and account then
          local wait = budget_admit(account, paid)
          if wait then
            go = false
            deferred[#deferred + 1] = wait
            deferred[#deferred + 1] = item
            if key then
              local _, _, lane = key_parse(state[key])
              key_set(key, 'pending ' .. string.format('%.0f', wait) .. ' ' .. (rank[lane] and lane or lane_of(envelope)))
            end
          end
        end
      end
      if go then take(envelope, key) end
    end
  end

  local function from_reserved()
    local paid = redis.call('ZRANGEBYSCORE', reserved, '-inf', ms, 'LIMIT', 0, claim - n)
    if #paid == 0 then return end
    redis.call('ZREM', reserved, unpack(paid))
    consider(paid, true)
  end
  local function from_lane(lane)
    while n < claim and looked < claim * 4 do
      local items = redis.call('LPOP', lane, claim - n)
      if not items then return end
      consider(items, false)
    end
  end

  local first = number % 16
  local has_reserved = redis.call('EXISTS', reserved) == 1
  if has_reserved and first % 4 ~= 1 then from_reserved() end
  if first == 15 then
    from_lane(pending_low)
    from_lane(pending)
    from_lane(pending_high)
  elseif first % 4 == 3 then
    from_lane(pending)
    from_lane(pending_high)
    from_lane(pending_low)
  else
    from_lane(pending_high)
    from_lane(pending)
    from_lane(pending_low)
  end
  if has_reserved and first % 4 == 1 and n < claim then from_reserved() end

  if n > 0 then
    redis.call('SET', fence, string.format('%.0f', base + n - 1))
    redis.call('HSET', running, unpack(claims))
    count('claimed', n)
  end
  if #deferred > 0 then
    redis.call('ZADD', reserved, 'LT', unpack(deferred))
    count('limited', #deferred / 2)
  end
  if dropped > 0 then count('cancelled', dropped) end
  key_flush()
  budget_flush()
  if #deferred > 0 or has_reserved then
    local paid = head(reserved)
    if paid > 0 and (due == 0 or paid < due) then due = paid end
  end
elseif redis.call('EXISTS', reserved) == 1 then
  local paid = head(reserved)
  if paid > 0 and (due == 0 or paid < due) then due = paid end
end

-- While work remains, one idle worker after the other is woken.
out[3] = due
out[5], out[6], out[7] = redis.call('LLEN', pending_high), redis.call('LLEN', pending), redis.call('LLEN', pending_low)
if paused == 0 and (out[5] + out[6] + out[7] > 0 or (due > 0 and due <= ms)) and redis.call('EXISTS', wake) == 0 then
  redis.call('LPUSH', wake, '1')
end
return out
