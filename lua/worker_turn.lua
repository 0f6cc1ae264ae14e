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
        6 number of acks  7 of closings  8 of counters  9 of settlements, then
        acks: fences of jobs that are done
        closings: fence key, for those of them that were claimed by key
        counters: name delta
        settlements, key '' for a plain claim:
          retry fence key delay envelope | again fence key delay envelope | back fence key envelope
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
local number, acks, closings = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local counters, settlements = tonumber(ARGV[8]), tonumber(ARGV[9])
local byte, sub, match, format = string.byte, string.sub, string.match, string.format

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

-- What only some turns need is made when it is needed: the functions of keys and budgets cost more than a small turn.
local tools
local function load_tools()
  if tools then return tools end
--@include lib/keyed.lua
--@include lib/gcra.lua
  tools = {lanes = lanes, rank = rank, state = state, lane_of = lane_of, append = key_append, load = key_load, parse = key_parse,
    set = key_set, forget = key_forget, push = key_push, done = key_done, later = key_later, back = key_back, delay = key_delay,
    pend = key_pend, alive = worker_alive, flush = key_flush,
    admit = budget_admit, park = budget_park, charge = budget_charge, spend = budget_flush}
  return tools
end

-- Settle. Everything is gated on the claim being there still; for the end of a keyed run its state is that gate.
local settled, at = 0, 10
if acks > 0 then
  settled = redis.call('HDEL', running, unpack(ARGV, at, at + acks - 1))
  count('done', settled)
  at = at + acks
end
if closings > 0 then
  local tool, wanted = load_tools(), {}
  for i = 1, closings do wanted[i] = ARGV[at + 2 * i - 1] end
  tool.load(wanted)
  for i = 1, closings do tool.done(wanted[i], worker, ARGV[at + 2 * i - 2]) end
  tool.flush()
  at = at + 2 * closings
end
for _ = 1, counters do
  count(ARGV[at], ARGV[at + 1])
  at = at + 2
end

if settlements > 0 then
  local tool = load_tools()
  local width = {retry = 5, again = 5, back = 4, dead = 6, keep = 3, rekey = 4, park = 4, charge = 3}
  local counter = {retry = 'retried', again = 'again', back = 'given_back', dead = 'dead', rekey = 'rekeyed'}
  local tally = {}
  local function bury(letter, group, sample)
    redis.call('LPUSH', dead, letter)
    local known = redis.call('HGET', dead_groups, group)
    if not known and redis.call('HLEN', dead_groups) >= 1000 then
      group, sample = 'other', 'groups beyond the first thousand'
      known = redis.call('HGET', dead_groups, group)
    end
    local n, first, text = match(known or '', '^(%d+) (%d+) %d+ (.*)$')
    if not n then n, first, text = '0', format('%.0f', ms), sample end
    redis.call('HSET', dead_groups, group, format('%.0f %s %.0f %s', n + 1, first, ms, text))
  end
  local apply = {
    retry = function(f, key, delay, envelope)
      local due = ms + tonumber(delay)
      if key ~= '' then tool.later(key, worker, f, due, envelope) else redis.call('ZADD', delayed, due, envelope) end
    end,
    back = function(f, key, envelope)
      local lane = tool.lanes[tool.lane_of(envelope)]
      if key ~= '' then tool.back(key, worker, f, envelope) else redis.call('LPUSH', lane, envelope) end
    end,
    dead = function(f, key, letter, group, sample)
      bury(letter, group, sample)
      if key ~= '' then tool.done(key, worker, f) end
    end,
    rekey = function(f, key, envelope) tool.push(key, envelope, 0) end,
  }
  apply.again = apply.retry
  local first, wanted = at, {}
  for _ = 1, settlements do
    local verb = ARGV[at]
    if counter[verb] and ARGV[at + 2] ~= '' then wanted[#wanted + 1] = ARGV[at + 2] end
    at = at + width[verb]
  end
  tool.load(wanted)
  at = first
  for _ = 1, settlements do
    local verb, f = ARGV[at], ARGV[at + 1]
    if verb == 'park' then
      tool.park(f, tonumber(ARGV[at + 2]), ARGV[at + 3])
    elseif verb == 'charge' then
      tool.charge(f, tonumber(ARGV[at + 2]))
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
  tool.flush()
  tool.spend()
  for verb, n in pairs(tally) do count(counter[verb], n) end
end

if redis.call('EXISTS', pending_high, pending, pending_low, delayed, reserved) == 0 then
  return {'OK', ms, 0, settled, 0, 0, 0, 0}
end
local special = redis.call('EXISTS', delayed, reserved, limits, cancelled) > 0

local function head(zset)
  local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) or 0
end

-- Promote what is due, a slice a turn.
local due = special and head(delayed) or 0
if due > 0 and due <= ms and promote > 0 then
  local tool, wanted = load_tools(), {}
  local list = redis.call('ZRANGEBYSCORE', delayed, '-inf', ms, 'LIMIT', 0, promote)
  for i = 1, #list do
    if byte(list[i]) == 64 then wanted[#wanted + 1] = sub(list[i], 2) end
  end
  tool.load(wanted)
  for i = 1, #list do
    local item = list[i]
    if byte(item) == 64 then
      local key = sub(item, 2)
      local word, _, lane = tool.parse(tool.state[key])
      if not tool.rank[lane] then lane = 'normal' end
      if word == 'retrying' or word == 'scheduled' then tool.pend(key, lane) else tool.append(lane, item) end
    else
      tool.append(tool.lane_of(item), item)
    end
  end
  redis.call('ZREM', delayed, unpack(list))
  tool.flush()
  due = head(delayed)
end

-- Claim. The answer holds fence and envelope from its ninth place on, and what is written to running is taken from there.
local paused = redis.call('HEXISTS', control, 'paused')
local out, n = {'OK', ms, 0, settled, 0, 0, 0, paused}, 0
local left = {}                              -- lane -> 0 once it is known to be empty
if claim > 0 and paused == 0 then
  local limited, cancelling, has_reserved = false, false, false
  if special then
    limited = redis.call('EXISTS', limits) == 1
    cancelling = redis.call('EXISTS', cancelled) == 1
    has_reserved = redis.call('EXISTS', reserved) == 1
  end
  if cancelling then
    local old = redis.call('ZRANGEBYSCORE', cancelled, '-inf', ms, 'LIMIT', 0, 16)
    if #old > 0 then redis.call('ZREM', cancelled, unpack(old)) end
  end
  local checked = limited or cancelling
  local last = tonumber(redis.call('GET', fence) or '0') or 0
  local base = us
  if base <= last then base = last + 1 end
  local looked, dropped = 0, 0
  local by_key, deferred = {}, {}            -- places in out of claims by key; due, item of what must wait
  local states, taken                        -- key, state of claims by key; their keys

  -- May this pointer be claimed? true, or nothing when it is surplus.
  local function follow(tool, key, envelope, paid)
    local word, a, b = tool.parse(tool.state[key])
    if word == 'running' or word == 'changed' then
      return envelope and not tool.alive(a)
    elseif not envelope then
      if word then tool.set(key, false) end  -- nothing to run and nobody to run it: the next push starts afresh
    elseif (word == 'retrying' or word == 'scheduled') and tonumber(a) > ms then
      tool.delay(key, word, tonumber(a), b)  -- its time has not come: one pointer in delayed is all it has
    elseif word == 'pending' and tonumber(a) > ms and not paid then
      deferred[#deferred + 1] = a            -- the same in reserved: it has paid for that time
      deferred[#deferred + 1] = '@' .. key
    else
      return true
    end
  end

  -- Cancelled, parked or over budget? Then it goes elsewhere, and the answer is no.
  local function admitted(item, key, envelope, paid)
    local account = match(envelope, '^{"account":"([^"]*)","id":"')
    local tool = load_tools()
    if cancelling then
      local id = match(envelope, account and '^{"account":"[^"]*","id":"([^"]+)"' or '^{"id":"([^"]+)"')
      if id and redis.call('ZSCORE', cancelled, id) then
        dropped = dropped + 1
        if key then tool.forget(key) end
        return false
      end
    end
    local wait = limited and account and tool.admit(account, paid)
    if not wait then return true end
    deferred[#deferred + 1] = wait
    deferred[#deferred + 1] = item
    if key then
      local _, _, lane = tool.parse(tool.state[key])
      tool.set(key, 'pending ' .. format('%.0f', wait) .. ' ' .. (tool.rank[lane] and lane or tool.lane_of(envelope)))
    end
    return false
  end

  local function consider(items, paid)
    local tool, found
    looked = looked + #items
    for i = 1, #items do
      local item = items[i]
      local envelope, key, go = item, nil, true
      if byte(item) == 64 then
        if not found then                    -- the first pointer: read state and body of all of them
          local wanted = {}
          tool, found = load_tools(), {}
          for j = i, #items do
            if byte(items[j]) == 64 then wanted[#wanted + 1] = sub(items[j], 2) end
          end
          tool.load(wanted)
          local texts = redis.call('HMGET', bodies, unpack(wanted))
          for j = 1, #wanted do found[wanted[j]] = texts[j] end
          if not states then states, taken = {}, {} end
        end
        key = sub(item, 2)
        envelope = found[key]
        if envelope or tool.state[key] or (#key <= 512 and match(key, '^[^"\\%c]+$') and
              string.gsub(key, '[%z\1-\127\194-\244][\128-\191]*', '') == '') then
          go = follow(tool, key, envelope, paid)
        else
          key, envelope = nil, item          -- no pointer of ours, but a push that is no envelope: it will lie in dead
        end
      end
      if go and checked then go = admitted(item, key, envelope, paid) end
      if go then
        local f = format('%.0f', base + n)
        n = n + 1
        out[2 * n + 7], out[2 * n + 8] = f, envelope
        if key then
          local text = 'running ' .. worker .. ' ' .. f
          tool.state[key] = text
          by_key[#by_key + 1] = 2 * n + 7
          taken[#taken + 1] = key
          states[#states + 1] = key
          states[#states + 1] = text
        end
      end
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
      local wanted = claim - n
      local items = redis.call('LPOP', lane, wanted)
      if not items or #items < wanted then left[lane] = 0 end
      if not items then return end
      consider(items, false)
    end
  end

  local turn = number % 16
  if has_reserved and turn % 4 ~= 1 then from_reserved() end
  if turn == 15 then
    from_lane(pending_low)
    from_lane(pending)
    from_lane(pending_high)
  elseif turn % 4 == 3 then
    from_lane(pending)
    from_lane(pending_high)
    from_lane(pending_low)
  else
    from_lane(pending_high)
    from_lane(pending)
    from_lane(pending_low)
  end
  if has_reserved and turn % 4 == 1 and n < claim then from_reserved() end

  if tools then                              -- before the claims' own states: a key may have been looked at twice
    tools.flush()
    tools.spend()
  end
  if n > 0 then
    redis.call('SET', fence, format('%.0f', base + n - 1))
    redis.call('HSET', running, unpack(out, 9, 2 * n + 8))
    count('claimed', n)
    if #by_key > 0 then
      redis.call('HSET', keys, unpack(states))
      redis.call('HDEL', bodies, unpack(taken))
      for i = 1, #by_key do out[by_key[i]] = '@' .. out[by_key[i]] end
    end
  end
  if #deferred > 0 then
    redis.call('ZADD', reserved, 'LT', unpack(deferred))
    count('limited', #deferred / 2)
  end
  if dropped > 0 then count('cancelled', dropped) end
  special = special or #deferred > 0
end
if special then
  local paid = head(reserved)
  due = head(delayed)
  if paid > 0 and (due == 0 or paid < due) then due = paid end
end

-- While work remains, one idle worker after the other is woken.
out[3] = due
out[5] = left[pending_high] or redis.call('LLEN', pending_high)
out[6] = left[pending] or redis.call('LLEN', pending)
out[7] = left[pending_low] or redis.call('LLEN', pending_low)
if paused == 0 and (out[5] + out[6] + out[7] > 0 or (due > 0 and due <= ms)) and redis.call('EXISTS', wake) == 0 then
  redis.call('LPUSH', wake, '1')
end
return out
