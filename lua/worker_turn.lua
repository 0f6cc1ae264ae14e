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
        12 limits       lockstep:{queue}:limits            hash, budgets (lib/budget.lua)
        13 cancelled    lockstep:{queue}:cancelled         zset, id, or '@<fence>' of a run -> expiry, ms
        14 fence        lockstep:{queue}:fence             string, last claim number
        15 wake         lockstep:{queue}:wake              list of tokens
        16 control      lockstep:{queue}:control           hash, paused, quiet/<place>, max_running, max_dead, cancel_serial
        17 stats        lockstep:{queue}:stats             hash, counter -> total
        18 stats_ring   lockstep:{queue}:stats:ring        hash, minute/counter -> count
        19 held         lockstep:{queue}:held              zset, '<account> <digit> <serial> <item>' -> 0 (lib/held.lua)
        20 ring         lockstep:{queue}:ring              zset, account -> when to look at what it holds, us
        21 slots        lockstep:{queue}:slots             hash, fence -> account whose place it holds
        22 progress     lockstep:{queue}:progress          hash, fence -> how far it is
ARGV    1 worker  2 lease, ms  3 claim at most  4 promote at most
        5 order: where to take from, a letter each: h n l the lanes, r reserved, q held
        6 place: host-pid of the caller  7 share: so many jobs of one account may run here while others wait, 0 = no limit
        8 number of accounts that run here  9 of spendings  10 of acks  11 of closings  12 of counters  13 of settlements, then
        accounts: name running
        spendings: fence account kind requests, of claims that end in this turn: what they really made
        acks: fences of jobs that are done
        closings: fence key, for those of them that were claimed by key
        counters: name delta
        settlements, key '' for a plain claim:
          retry fence key delay envelope | again fence key delay envelope | back fence key envelope | drop fence key
          dead fence key letter group sample | keep fence envelope | rekey fence key envelope | note fence text
          park account delay reason | learn account rate burst left ('' = nothing) | report account done failed
RETURNS {OK, ms, next due (ms, 0 = none), settled, pending high, pending, pending low,
        blocked (0 no, 1 paused, 2 quiet, 3 dead is full, 4 max_running), ready (1: something in held may go now), cancel_serial,
        fence, envelope, ...} with '@' before the fence of a claim by key | {FENCED, ms}: the worker is unknown, nothing was done
COST    O(settlements + claims + log of what waits); an idle turn makes 3 calls
REPEAT  each settlement is gated on its claim, so a repeated one does nothing; claims go on
FLAGS   allow-oom ]]
local pending_high, pending, pending_low = KEYS[1], KEYS[2], KEYS[3]
local running, workers, delayed, reserved = KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local dead, dead_groups, keys, bodies = KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local limits, cancelled, fence, wake = KEYS[12], KEYS[13], KEYS[14], KEYS[15]
local control, stats, stats_ring = KEYS[16], KEYS[17], KEYS[18]
local held, ring, slots, progress = KEYS[19], KEYS[20], KEYS[21], KEYS[22]
local worker, lease, claim, promote = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local order, place, share = ARGV[5], ARGV[6], tonumber(ARGV[7])
local accounts, spendings, acks = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local closings, counters, settlements = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
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
--@include lib/budget.lua
  tools = {lanes = lanes, rank = rank, state = state, lane_of = lane_of, append = key_append, load = key_load, parse = key_parse,
    set = key_set, forget = key_forget, push = key_push, now = NOW, done = key_done, later = key_later, back = key_back,
    delay = key_delay, pend = key_pend, alive = worker_alive, flush = key_flush, budget = budget_of, admit = budget_admit,
    settle = budget_settle, park = budget_park, learn = budget_learn, report = budget_report, spend = budget_flush}
  return tools
end

local at = 14
local crowd = {}                             -- account -> how many of its jobs run here
for _ = 1, accounts do
  crowd[ARGV[at]] = tonumber(ARGV[at + 1])
  at = at + 2
end

-- Settle. Everything is gated on the claim being there still; for the end of a keyed run its state is that gate.
if spendings > 0 then
  local tool = load_tools()
  for _ = 1, spendings do
    if tool.budget(ARGV[at + 1]).emit > 0 and redis.call('HEXISTS', running, ARGV[at]) == 1 then
      tool.settle(ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]))
    end
    at = at + 4
  end
end

-- The claims of these fences have ended: their accounts' places are free, and what waited for them may go.
local function vacate(fences)
  local owners, gone = redis.call('HMGET', slots, unpack(fences)), {}
  for i = 1, #fences do
    if owners[i] then
      local budget = load_tools().budget(owners[i])
      gone[#gone + 1] = fences[i]
      budget.running, budget.taken = budget.running - 1, budget.taken - 1
      redis.call('ZADD', ring, 'NX', us, owners[i])
    end
  end
  if #gone > 0 then redis.call('HDEL', slots, unpack(gone)) end
  redis.call('HDEL', progress, unpack(fences))
end

local settled = 0
if acks > 0 then
  settled = redis.call('HDEL', running, unpack(ARGV, at, at + acks - 1))
  count('done', settled)
  if redis.call('EXISTS', slots, progress) > 0 then vacate({unpack(ARGV, at, at + acks - 1)}) end
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
  local width = {retry = 5, again = 5, back = 4, drop = 3, dead = 6, keep = 3, rekey = 4, note = 3, park = 4, learn = 5, report = 4}
  local counter = {retry = 'retried', again = 'again', back = 'given_back', drop = 'stopped', dead = 'dead', rekey = 'rekeyed'}
  local tally, ended = {}, {}
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
  local ends = {                             -- of a claim that is there
    retry = function(f, key, delay, envelope)
      local due = ms + tonumber(delay)
      if key == '' then
        redis.call('ZADD', delayed, due, envelope)
      elseif redis.call('ZREM', cancelled, '@' .. f) == 1 then
        tool.done(key, worker, f)            -- cancelled before its worker heard of it
      else
        tool.later(key, worker, f, due, envelope)
      end
    end,
    back = function(f, key, envelope)
      local lane = tool.lanes[tool.lane_of(envelope)]
      if key ~= '' then tool.back(key, worker, f, envelope) else redis.call('LPUSH', lane, envelope) end
    end,
    drop = function(f, key)
      if key ~= '' then tool.done(key, worker, f) end
    end,
    dead = function(f, key, letter, group, sample)
      bury(letter, group, sample)
      if key ~= '' then tool.done(key, worker, f) end
    end,
    rekey = function(f, key, envelope) tool.push(key, envelope, tool.now) end,
  }
  ends.again = ends.retry
  local goes_on = {                          -- the claim stays
    keep = function(f, envelope) redis.call('HSET', running, f, envelope) end,
    note = function(f, text) redis.call('HSET', progress, f, text) end,
  }
  local tells = {                            -- of an account
    park = function(account, delay, reason) tool.park(account, tonumber(delay), reason) end,
    learn = tool.learn,
    report = function(account, done, failed)
      if tool.report(account, tonumber(done), tonumber(failed)) then count('breaker_opened', 1) end
    end,
  }
  local first, wanted = at, {}
  for _ = 1, settlements do
    local verb = ARGV[at]
    if ends[verb] and ARGV[at + 2] ~= '' then wanted[#wanted + 1] = ARGV[at + 2] end
    at = at + width[verb]
  end
  tool.load(wanted)
  at = first
  for _ = 1, settlements do
    local verb, f = ARGV[at], ARGV[at + 1]
    if tells[verb] then
      tells[verb](f, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
    elseif goes_on[verb] then
      if redis.call('HEXISTS', running, f) == 1 then
        goes_on[verb](f, ARGV[at + 2])
        settled = settled + 1
      end
    elseif redis.call('HDEL', running, f) == 1 then
      ends[verb](f, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
      ended[#ended + 1] = f
      tally[verb] = (tally[verb] or 0) + 1
      settled = settled + 1
    end
    at = at + width[verb]
  end
  tool.flush()
  if #ended > 0 and redis.call('EXISTS', slots, progress) > 0 then vacate(ended) end
  for verb, n in pairs(tally) do count(counter[verb], n) end
end
if tools then tools.spend() end

if redis.call('EXISTS', pending_high, pending, pending_low, delayed, reserved, held, cancelled) == 0 then
  return {'OK', ms, 0, settled, 0, 0, 0, 0, 0, 0}
end
local special = redis.call('EXISTS', delayed, reserved, limits, cancelled, held) > 0

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
  if #list > 0 then redis.call('ZREMRANGEBYRANK', delayed, 0, #list - 1) end  -- they are its head; by name each would cost a search
  tool.flush()
  due = head(delayed)
end

-- May anything be claimed at all?
local said = redis.call('HMGET', control, 'paused', 'quiet/' .. place, 'max_dead', 'max_running', 'cancel_serial')
local max_dead, max_running = tonumber(said[3] or '0') or 0, tonumber(said[4] or '0') or 0
local blocked = 0
if said[1] then
  blocked = 1
elseif said[2] then
  blocked = 2
elseif max_dead > 0 and redis.call('LLEN', dead) >= max_dead then
  blocked = 3
elseif max_running > 0 then
  local n = redis.call('HMGET', stats, 'claimed', 'done', 'retried', 'again', 'given_back', 'stopped', 'dead', 'rekeyed')
  local now = tonumber(n[1] or '0')
  for i = 2, 8 do now = now - tonumber(n[i] or '0') end
  if now >= max_running then blocked = 4 end
  claim = math.max(0, math.min(claim, max_running - now))
end

-- Claim. The answer holds fence and envelope from its eleventh place on, and what is written to running is taken from there.
local out, n = {'OK', ms, 0, settled, 0, 0, 0, blocked, 0, tonumber(said[5] or '0')}, 0
local left = {}                              -- lane -> 0 once it is known to be empty
if (claim > 0 or share > 0) and blocked == 0 then
  local limited, cancelling, has_reserved, has_held = false, false, false, false
  if special then
    limited = redis.call('EXISTS', limits) == 1
    cancelling = redis.call('EXISTS', cancelled) == 1
    has_reserved = redis.call('EXISTS', reserved) == 1
    has_held = redis.call('EXISTS', held) == 1
  end
  if cancelling then
    local old = redis.call('ZRANGEBYSCORE', cancelled, '-inf', ms, 'LIMIT', 0, 16)
    if #old > 0 then redis.call('ZREM', cancelled, unpack(old)) end
  end
  local watching = limited or share > 0 or has_held    -- accounts matter
  local last = tonumber(redis.call('GET', fence) or '0') or 0
  local base = us
  if base <= last then base = last + 1 end
  local looked, most = 0, math.max(4 * claim, 256)   -- a flood is set aside at least so fast, however few places are free
  local dropped, reserving = {}, {}          -- ids that were cancelled; due, item of what has paid for a time to come
  local by_key, states, taken = {}, {}, {}   -- places in out of claims by key; key, state of them; their keys
  local places = {}                          -- fence, account of claims that hold one of their account's places

  -- Most jobs have neither key nor account: they are taken as they are.
  local function take_plain(items)
    if cancelling then return 1 end
    for i = 1, #items do
      local item = items[i]
      if byte(item) == 64 or (watching and byte(item, 3) == 97) then return i end
      n = n + 1
      out[2 * n + 9], out[2 * n + 10] = format('%.0f', base + n - 1), item
    end
    return nil
  end

  -- What keys and accounts need is made when it is needed.
  local careful
  local function load_careful()
    if careful then return careful end
--@include lib/claim.lua
--@include lib/held.lua
    careful = {consider = consider, from_held = from_held, sweep = sweep, flush = held_flush}
    return careful
  end

  local function consider(items, lane)
    looked = looked + #items
    local rest = take_plain(items)
    if rest then load_careful().consider(items, lane, rest) end
  end
  local function from_reserved()
    if not has_reserved then return end
    local items = redis.call('ZRANGEBYSCORE', reserved, '-inf', ms, 'LIMIT', 0, claim - n)
    if #items == 0 then return end
    redis.call('ZREMRANGEBYRANK', reserved, 0, #items - 1)
    consider(items)
  end
  local function from_lane(lane)
    while n < claim and looked < most do
      local wanted = claim - n
      local items = redis.call('LPOP', lane, wanted)
      if not items or #items < wanted then left[lane] = 0 end
      if not items then return end
      consider(items, lane)
    end
  end

  local sources = {h = function() from_lane(pending_high) end, n = function() from_lane(pending) end,
    l = function() from_lane(pending_low) end, r = from_reserved, q = function() if has_held then load_careful().from_held(false) end end}
  for letter in string.gmatch(order, '.') do
    if n < claim then sources[letter]() end
  end
  if n < claim and has_held then             -- nobody else has work: no share holds
    load_careful().from_held(redis.call('EXISTS', pending_high, pending, pending_low) == 0)
  elseif n >= claim and share > 0 and (has_held or next(crowd)) then
    local sweep = load_careful().sweep
    sweep(pending_high)
    sweep(pending)
    sweep(pending_low)
  end

  if tools then                              -- before the claims' own states: a key may have been looked at twice
    tools.flush()
    tools.spend()
  end
  if careful then careful.flush() end
  if n > 0 then
    redis.call('SET', fence, format('%.0f', base + n - 1))
    redis.call('HSET', running, unpack(out, 11, 2 * n + 10))
    count('claimed', n)
    if #by_key > 0 then
      redis.call('HSET', keys, unpack(states))
      redis.call('HDEL', bodies, unpack(taken))
      for i = 1, #by_key do out[by_key[i]] = '@' .. out[by_key[i]] end
    end
    if #places > 0 then redis.call('HSET', slots, unpack(places)) end
  end
  if #reserving > 0 then
    redis.call('ZADD', reserved, 'LT', unpack(reserving))
    count('limited', #reserving / 2)
    special = true
  end
  if #dropped > 0 then
    redis.call('ZREM', cancelled, unpack(dropped))
    count('cancelled', #dropped)
  end
end
if special then
  local function sooner(when)
    if when > 0 and (due == 0 or when < due) then due = when end
  end
  due = head(delayed)
  sooner(head(reserved))
  local look = head(ring)
  if look > 0 and redis.call('EXISTS', held) == 0 then
    redis.call('DEL', ring)                  -- nothing waits for them
    look = 0
  end
  if look > us then sooner(math.ceil(look / 1000)) elseif look > 0 then out[9] = 1 end
end

-- While work remains, one idle worker after the other is woken.
out[3] = due
out[5] = left[pending_high] or redis.call('LLEN', pending_high)
out[6] = left[pending] or redis.call('LLEN', pending)
out[7] = left[pending_low] or redis.call('LLEN', pending_low)
if blocked == 0 and (out[5] + out[6] + out[7] + out[9] > 0 or (due > 0 and due <= ms)) and redis.call('EXISTS', wake) == 0 then
  redis.call('LPUSH', wake, '1')
end
return out
