-- lib/keyed: the state of keys. Wants ms, keys, bodies, workers, delayed, pending_high, pending, pending_low.
--
--   pending <ms> <lane>              its pointer '@key' lies in a lane (or in reserved, due at <ms>), its body in bodies
--   running <worker> <fence>         claimed; nothing waits
--   changed <worker> <fence> <lane>  claimed; a newer body waits in bodies for the end of the run, or (' <due> <latest>' behind it)
--                                    for the end of its debounce, if that is later
--   retrying <ms> <lane>             its pointer lies in delayed, due at <ms>, its body in bodies
--   scheduled <ms> <lane>            the same, but by a push with a delay: a push with less moves it up; by a debounce
--                                    (' <latest>' behind it, 0 = none): each push moves it back, at most to <latest>
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

local function key_parse(text)               -- word, ms or worker, fence or lane, lane or latest, due, latest
  if not text then return nil end
  return string.match(text, '^(%a+) (%S+) (%S+) ?(%S*) ?(%S*) ?(%S*)$')
end

local function key_moved(text, worker, fence)  -- the state of a claim that has passed to another worker
  local word, rest = string.match(text, '^(%a+) %S+ %S+(.*)$')
  return word .. ' ' .. worker .. ' ' .. fence .. rest
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

local function key_delay(key, word, due, lane, latest)
  key_set(key, string.format('%s %.0f %s', word, due, lane) .. (latest and latest ~= '' and ' ' .. latest or ''))
  later[#later + 1] = due
  later[#later + 1] = '@' .. key
end

local function debounced(rule, latest)      -- of a debounce: when it is due, and the latest time it can be put off to (text)
  if not latest or latest == '' then latest = rule.max_wait > 0 and string.format('%.0f', ms + rule.max_wait) or '0' end
  local due, last = ms + rule.debounce, tonumber(latest)
  return last > 0 and math.min(due, last) or due, latest
end

-- A newer body for a key: what MARK is in the design of the engine. rule: delay, debounce, max_wait (ms, 0 = none), mode (latest; keep:
-- a body that waits stays; reject: nothing is taken while the key waits or runs). Returns pushed, coalesced, changed, kept, rejected.
local function key_push(key, envelope, rule)
  local word, a, b, c, d, e = key_parse(state[key])
  local lane = lane_of(envelope)
  local runs = (word == 'running' or word == 'changed') and worker_alive(a)
  local waits = word == 'pending' or word == 'retrying' or word == 'scheduled'
  if rule.mode == 'reject' and (runs or waits) then return 'rejected' end
  local keeps = rule.mode == 'keep' and (waits or (runs and word == 'changed'))
  if not keeps then body_set(key, envelope) end
  if runs then
    local text = 'changed ' .. a .. ' ' .. b .. ' ' .. (word == 'changed' and higher(c, lane) or lane)
    if keeps then
      if d ~= '' then text = text .. ' ' .. d .. ' ' .. e end
    elseif rule.debounce > 0 then
      local due, latest = debounced(rule, e)
      text = text .. ' ' .. string.format('%.0f', due) .. ' ' .. latest
    end
    key_set(key, text)
    return keeps and 'kept' or 'changed'
  elseif word == 'pending' then
    if rank[lane] > (rank[b] or 0) or tonumber(a) < ms - HEAL_MS then key_pend(key, higher(lane, b)) end
  elseif word == 'retrying' then             -- the backoff holds for the newer body too
    key_delay(key, word, tonumber(a), higher(b, lane))
  elseif word == 'scheduled' and keeps then
    key_delay(key, word, tonumber(a), higher(b, lane), c)
  elseif word == 'scheduled' and rule.debounce > 0 then
    local due, latest = debounced(rule, c)
    key_delay(key, word, due, higher(b, lane), latest)
  elseif word == 'scheduled' and rule.delay > 0 then
    key_delay(key, word, math.min(tonumber(a), ms + rule.delay), higher(b, lane))
  elseif word == 'scheduled' then
    key_pend(key, higher(b, lane))           -- the pointer left in delayed is surplus
  end
  if waits then return keeps and 'kept' or 'coalesced' end
  if rule.debounce > 0 then
    local due, latest = debounced(rule)
    key_delay(key, 'scheduled', due, lane, latest)
  elseif rule.delay > 0 then
    key_delay(key, 'scheduled', ms + rule.delay, lane)
  else
    key_pend(key, lane)
  end
  return 'pushed'
end
local NOW = {delay = 0, debounce = 0, max_wait = 0, mode = 'latest'}

-- What the state says of the claim that has just ended: running, changed (and lane, due, latest of what waits), or nil when the key
-- has gone on without it. A key without a state (somebody deleted it) counts as running: the claim was there.
local function key_held(key, worker, fence)
  local word, a, b, c, d, e = key_parse(state[key])
  if not word then return 'running' end
  if a == worker and b == fence and (word == 'running' or word == 'changed') then return word, c, d, e end
  return nil
end

local function key_done(key, worker, fence)
  if state[key] == 'running ' .. worker .. ' ' .. fence then return key_set(key, false) end
  local word, lane, due, latest = key_held(key, worker, fence)
  if word == 'running' then
    key_set(key, false)
  elseif word == 'changed' and due ~= '' and tonumber(due) > ms then
    key_delay(key, 'scheduled', tonumber(due), lane, latest)
  elseif word == 'changed' then
    key_pend(key, lane)
  end
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
