-- lib/keyed: the state of keys. Wants ms, keys, bodies, workers, delayed, pending_high, pending, pending_low.
--
--   pending <ms> <lane>              its pointer '@key' lies in a lane (or in reserved, due at <ms>), its body in bodies
--   running <worker> <fence>         claimed; nothing waits
--   changed <worker> <fence> <lane>  claimed; a newer body waits in bodies for the end of the run
--   retrying <ms> <lane>             its pointer lies in delayed, due at <ms>, its body in bodies
--   scheduled <ms> <lane>            the same, but by a push with a delay: a push with less moves it up
--
-- A surplus pointer is harmless: a claim takes what state and body allow, and drops it otherwise. So a pointer may always be
-- pushed again, and is when its absence would be noticed by nobody. What a call learns and changes is kept in tables, written by
-- key_flush: a batch costs some calls in all, not some a key.
local lanes = {high = pending_high, normal = pending, low = pending_low}
local rank = {high = 3, normal = 2, low = 1}
local HEAL_MS = 300000                       -- a pointer that should have been claimed so long ago is pushed again
local state, body = {}, {}                   -- key -> text, false for none
local state_dirty, body_dirty = {}, {}       -- keys to write
local append = {high = {}, normal = {}, low = {}}
local later = {}                             -- due, pointer, ...
local now = string.format('%.0f', ms)
local alive = {}                             -- worker -> is it in workers?

local function lane_of(envelope)             -- priority is the last member of a canonical envelope, if it is there at all
  if string.sub(envelope, -19) == ',"priority":"high"}' then return 'high' end
  if string.sub(envelope, -18) == ',"priority":"low"}' then return 'low' end
  return 'normal'
end

local function key_of(envelope)              -- of a canonical envelope
  return string.match(envelope, '^{"account":"[^"]*","id":"[^"]*","key":"([^"]+)"')
    or string.match(envelope, '^{"id":"[^"]*","key":"([^"]+)"')
end

local function key_load(list)
  if #list == 0 then return end
  local found = redis.call('HMGET', keys, unpack(list))
  for i = 1, #list do
    if state[list[i]] == nil then state[list[i]] = found[i] end
  end
end

local function key_parse(text)               -- word, ms or worker, fence or lane, lane
  if not text then return nil end
  return string.match(text, '^(%a+) (%S+) (%S+) ?(%S*)$')
end

local function key_set(key, text)
  state[key] = text
  state_dirty[#state_dirty + 1] = key
end

local function body_set(key, text)
  body[key] = text
  body_dirty[#body_dirty + 1] = key
end

local function worker_alive(worker)
  if alive[worker] == nil then alive[worker] = redis.call('ZSCORE', workers, worker) and true or false end
  return alive[worker]
end

local function higher(a, b)
  return (rank[a] or 2) >= (rank[b] or 2) and a or b
end

local function key_append(lane, item)
  append[lane][#append[lane] + 1] = item
end

local function key_forget(key)               -- neither a body nor a state is left
  body_set(key, false)
  key_set(key, false)
end

local function key_pend(key, lane)           -- queue its pointer at the tail of a lane
  key_set(key, 'pending ' .. now .. ' ' .. lane)
  append[lane][#append[lane] + 1] = '@' .. key
end

local function key_delay(key, word, due, lane)
  key_set(key, word .. ' ' .. string.format('%.0f', due) .. ' ' .. lane)
  later[#later + 1] = due
  later[#later + 1] = '@' .. key
end

-- A newer body for a key: what MARK is in the design of the engine. Returns pushed, coalesced or changed.
local function key_push(key, envelope, delay)
  local word, a, b, c = key_parse(state[key])
  local lane = lane_of(envelope)
  body_set(key, envelope)
  if (word == 'running' or word == 'changed') and worker_alive(a) then
    key_set(key, 'changed ' .. a .. ' ' .. b .. ' ' .. (word == 'changed' and higher(c, lane) or lane))
    return 'changed'
  elseif word == 'pending' then
    if rank[lane] > (rank[b] or 0) or tonumber(a) < ms - HEAL_MS then key_pend(key, higher(lane, b)) end
    return 'coalesced'
  elseif word == 'retrying' then             -- the backoff holds for the newer body too
    key_delay(key, word, tonumber(a), higher(b, lane))
    return 'coalesced'
  elseif word == 'scheduled' then
    if delay > 0 then
      key_delay(key, word, math.min(tonumber(a), ms + delay), higher(b, lane))
    else
      key_pend(key, higher(b, lane))         -- the pointer left in delayed is surplus
    end
    return 'coalesced'
  end
  if delay > 0 then key_delay(key, 'scheduled', ms + delay, lane) else key_pend(key, lane) end
  return 'pushed'
end

-- What the state says of the claim that has just ended: running, changed (and the lane of what waits), or nil when the key has
-- gone on without it. A key without a state (somebody deleted it) counts as running: the claim was there.
local function key_held(key, worker, fence)
  local word, a, b, c = key_parse(state[key])
  if not word then return 'running' end
  if a == worker and b == fence and (word == 'running' or word == 'changed') then return word, c end
  return nil
end

local function key_done(key, worker, fence)
  if state[key] == 'running ' .. worker .. ' ' .. fence then return key_set(key, false) end
  local word, lane = key_held(key, worker, fence)
  if word == 'running' then key_set(key, false) elseif word == 'changed' then key_pend(key, lane) end
end

local function key_later(key, worker, fence, due, envelope)
  local word, lane = key_held(key, worker, fence)
  if word == 'running' then
    body_set(key, envelope)
    key_delay(key, 'retrying', due, lane_of(envelope))
  elseif word == 'changed' then
    if not body[key] then redis.call('HSETNX', bodies, key, envelope) end
    key_delay(key, 'retrying', due, higher(lane, lane_of(envelope)))
  end
end

local function key_back(key, worker, fence, envelope)
  local word, lane = key_held(key, worker, fence)
  if not word then return end
  if word == 'running' then
    body_set(key, envelope)
    lane = lane_of(envelope)
  else
    if not body[key] then redis.call('HSETNX', bodies, key, envelope) end
    lane = higher(lane, lane_of(envelope))
  end
  key_set(key, 'pending ' .. now .. ' ' .. lane)
  redis.call('LPUSH', lanes[lane], '@' .. key)
end

local function hash_write(hash, values, dirty)
  local set, del, n = {}, {}, 0
  for i = 1, #dirty do                       -- a key that is there twice is written twice, with the same value
    local key = dirty[i]
    local value = values[key]
    if value then
      n = n + 2
      set[n - 1], set[n] = key, value
    else
      del[#del + 1] = key
    end
  end
  if n > 0 then redis.call('HSET', hash, unpack(set)) end
  if #del > 0 then redis.call('HDEL', hash, unpack(del)) end
end

local function key_flush()
  if #body_dirty > 0 then hash_write(bodies, body, body_dirty) end
  if #state_dirty > 0 then hash_write(keys, state, state_dirty) end
  if #later > 0 then redis.call('ZADD', delayed, unpack(later)) end
  for lane, list in pairs(append) do
    if #list > 0 then redis.call('RPUSH', lanes[lane], unpack(list)) end
  end
  body, state_dirty, body_dirty, later = {}, {}, {}, {}
  append = {high = {}, normal = {}, low = {}}
end
