-- lib/held: what waits behind its account, part of worker_turn. A member of held is '<account> <digit> <serial> <item>': the jobs of an
-- account stand together, by digit (0 has paid and wants a place, 1 had to give up the time it had paid for, 2 high, 3 normal,
-- 4 low) and then by age. ring has the accounts with a time at which to look: in the past, when one of its jobs may go, the one served
-- longest ago first; to come, while it is parked or over its budget; no entry while all its places are taken.
local DIGIT = {[pending_high] = '2', [pending] = '3', [pending_low] = '4'}
local now_text = format('%016.0f', us)
local NEW = 1000000000                       -- us: an account that begins to wait goes before those that were served in that time
local holds, looks, serial = {}, {}, 0
local knows = {}                             -- account -> has it something in held?

local function held_range(account) return '[' .. account .. ' ', '(' .. account .. '!' end

local function holds_any(account)
  if knows[account] == nil then
    local from, to = held_range(account)
    knows[account] = has_held and #redis.call('ZRANGEBYLEX', held, from, to, 'LIMIT', 0, 1) > 0
  end
  return knows[account]
end

local function append_held(head, item)       -- head: '<account> <digit> <us>-'
  serial = serial + 1
  holds[2 * serial - 1] = 0
  holds[2 * serial] = head .. format('%04d', serial) .. ' ' .. item
end

-- A flood is told by how its jobs begin, without looking further into each: of the last accounts that were set aside, how their
-- envelopes begin, how long that is, and the head of their members.
local floods, newest = {}, 0
local function joins_flood(item, lane)
  for i = 1, #floods do
    local flood = floods[i]
    if flood.lane == lane and sub(item, 1, flood.length) == flood.start then
      append_held(flood.head, item)
      return true
    end
  end
end
local function note_flood(account, lane, head)
  if not lane or lane == pending_high or cancelling then return end
  local start = '{"account":"' .. account .. '","id":"'
  newest = newest % 4 + 1
  floods[newest] = {lane = lane, start = start, length = #start, head = head}
end

-- lane: where it lay, nil for reserved.
local function hold(account, item, key, envelope, lane, why, when)
  local digit = DIGIT[lane]
  if not lane then                           -- it has paid, and keeps its lane in its state
    digit = why == 'full' and '0' or '1'
    if key then
      local tool = load_tools()
      local _, _, of_key = tool.parse(tool.state[key])
      tool.set(key, format('pending %.0f %s', ms, tool.rank[of_key] and of_key or tool.lane_of(envelope)))
    end
  end
  local head = account .. ' ' .. digit .. ' ' .. now_text .. '-'
  append_held(head, item)
  note_flood(account, lane, head)
  knows[account] = true
  if why == 'wait' then looks[account] = when elseif why == 'turn' and not looks[account] then looks[account] = 0 end
  if why == 'full' then looks[account] = nil end
end

-- Is somebody behind the job at hand who could be kept waiting by it?
local function others_wait(more)
  return more or redis.call('EXISTS', pending_high, pending, pending_low) > 0
end

-- For jobs from lanes and reserved: as verdict, and also: an account that has its share of the places here, or whose older jobs
-- wait already, is served in its turn. What was pushed high does not wait for its account's older jobs.
local function verdict_of_lane(account, item, key, envelope, lane, more)
  if lane then
    if lane ~= pending_high and (has_held or serial > 0) and holds_any(account) then
      if looks[account] == nil then looks[account] = 0 end
      return 'turn'
    end
    if share > 0 and (crowd[account] or 0) >= share and others_wait(more) then return 'turn' end
  end
  return verdict(account, item, key, envelope, not lane)
end

-- All places are taken. Jobs of accounts that have some of them, or that wait already, are set aside, so that the next free place finds
-- at the head of the lane somebody who has none: the first such job stays where it is.
local function sweep(lane)
  while looked < most do
    local head, moved = redis.call('LINDEX', lane, 0), 0
    if not head or (byte(head) ~= 64 and byte(head, 3) ~= 97) then return end
    local items = redis.call('LRANGE', lane, 0, 63)
    local length = #items == 64 and redis.call('LLEN', lane) or #items
    open_items(items, 1, function(i, item, key, envelope)
      if (not key and i < length and joins_flood(item, lane)) or (key and not follow(load_tools(), key, envelope, false)) 
          or (cancelling and is_cancelled(key, envelope)) then
        moved = i
        return
      end
      local account = match(envelope, '^{"account":"([^"]+)","id":"')
      if not account then return true end
      local waits = lane ~= pending_high and (has_held or serial > 0) and holds_any(account)
      if not waits and (not crowd[account] or i == length) then return true end
      hold(account, item, key, envelope, lane, 'turn')
      moved = i
    end)
    looked = looked + moved
    if moved > 0 then redis.call('LPOP', lane, moved) end
    if moved < #items then return end
  end
end

-- The oldest jobs of one account, at most quota. They stay where they are until they may go.
local function serve(account, quota)
  local from, to = held_range(account)
  local members = redis.call('ZRANGEBYLEX', held, from, to, 'LIMIT', 0, quota)
  local items, paid, gone = {}, {}, {}
  for i = 1, #members do
    local digit, item = match(members[i], '^%S+ (%d) %S+ (.*)$')
    items[i], paid[i] = item, digit == '0'
  end
  looked = looked + #items
  local why, when
  open_items(items, 1, function(i, item, key, envelope)
    if (not key or follow(load_tools(), key, envelope, true)) and not (cancelling and is_cancelled(key, envelope)) then
      why, when = verdict(account, item, key, envelope, paid[i])
      if why and why ~= 'gone' then return true end
      if not why then take(account, key, envelope) end
      why = nil
    end
    gone[#gone + 1] = members[i]
  end)
  if #gone > 0 then redis.call('ZREM', held, unpack(gone)) end
  if why == 'wait' then
    redis.call('ZADD', ring, when, account)
  elseif why == 'full' or #members < quota then
    redis.call('ZREM', ring, account)
    if not why then knows[account] = false end
  else
    redis.call('ZADD', ring, us, account)
  end
  return #gone
end

-- The accounts in turn. free: nobody else waits, so a share is no bound.
local function from_held(free)
  if not has_held then return end
  repeat
    local served = 0
    local ready = redis.call('ZRANGEBYSCORE', ring, '-inf', us, 'LIMIT', 0, 16)
    for i = 1, #ready do
      local quota = math.ceil((claim - n) / (#ready - i + 1))
      if not free and share > 0 then quota = math.min(quota, share - (crowd[ready[i]] or 0)) end
      if n < claim and looked < most and quota > 0 then served = served + serve(ready[i], quota) end
    end
  until served == 0 or n >= claim or looked >= most
end

local function held_flush()
  if serial == 0 then return end
  redis.call('ZADD', held, unpack(holds))
  for account, at in pairs(looks) do
    if at == 0 then redis.call('ZADD', ring, 'NX', us - NEW, account) else redis.call('ZADD', ring, at, account) end
  end
  count('limited', serial)
  special = true
end

-- Of a lane, or (nil) of reserved: each is taken, dropped, or put where it has to wait.
local function consider(items, lane, first)
  local tool = load_tools()
  open_items(items, first, function(i, item, key, envelope)
    if not key and joins_flood(item, lane) then return end
    if key and not follow(tool, key, envelope, not lane) then return end
    if cancelling and is_cancelled(key, envelope) then return end
    local account = watching and match(envelope, '^{"account":"([^"]+)","id":"')
    if account then
      local why, when = verdict_of_lane(account, item, key, envelope, lane, i < #items)
      if why == 'gone' then return end
      if why then
        hold(account, item, key, envelope, lane, why, when)
        return
      end
    end
    take(account, key, envelope)
  end)
end
