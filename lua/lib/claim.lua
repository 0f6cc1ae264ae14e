-- lib/claim: claiming jobs with keys and accounts, part of worker_turn. Wants its locals of the claim.

-- May this pointer be claimed? true, or nothing when it is surplus.
local function follow(tool, key, envelope, paid)
  local since = envelope and match(tool.state[key] or '', '^pending (%d+)')
  if since and (paid or tonumber(since) <= ms) then return true end     -- the common case
  local word, a, b, c = tool.parse(tool.state[key])
  if word == 'running' or word == 'changed' then
    return envelope and not tool.alive(a)
  elseif not envelope then
    if word then tool.set(key, false) end  -- nothing to run and nobody to run it: the next push starts afresh
  elseif (word == 'retrying' or word == 'scheduled') and tonumber(a) > ms then
    tool.delay(key, word, tonumber(a), b, c) -- its time has not come: one pointer in delayed is all it has
  elseif word == 'pending' and tonumber(a) > ms and not paid then
    reserving[#reserving + 1] = a          -- the same in reserved: it has paid for that time
    reserving[#reserving + 1] = '@' .. key
  else
    return true
  end
end

-- Was it cancelled? Then nothing is left of it.
local function is_cancelled(key, envelope)
  local id = match(envelope, '^{"id":"([^"]+)"') or match(envelope, '^{"account":"[^"]*","id":"([^"]+)"')
  if not id or not redis.call('ZSCORE', cancelled, id) then return false end
  dropped[#dropped + 1] = id
  if key then load_tools().forget(key) end
  return true
end

-- What may account do with this job? nil: take it. 'gone': it lies elsewhere. Else it must wait behind its account: 'turn', until its
-- turn comes; 'full', until a place is free; 'wait' and the us at which to look again.
local function verdict(account, item, key, envelope, paid)
  if not limited then return nil end
  local tool = load_tools()
  local kind = match(envelope, '^{"account":"[^"]*","id":"[^"]*","kind":"([^"]*)"')
    or match(envelope, '^{"account":"[^"]*","id":"[^"]*","key":"[^"]*","kind":"([^"]*)"') or ''
  local why, when = tool.admit(account, kind, paid)
  if why ~= 'reserve' then return why, when end
  reserving[#reserving + 1] = when
  reserving[#reserving + 1] = item
  if key then
    local _, _, lane = tool.parse(tool.state[key])
    tool.set(key, 'pending ' .. format('%.0f', when) .. ' ' .. (tool.rank[lane] and lane or tool.lane_of(envelope)))
  end
  return 'gone'
end

local function take(account, key, envelope)
  local f = format('%.0f', base + n)
  n = n + 1
  out[2 * n + 9], out[2 * n + 10] = f, envelope
  if account then
    crowd[account] = (crowd[account] or 0) + 1
    if limited and tools and tools.budget(account).concurrency > 0 then
      places[#places + 1] = f
      places[#places + 1] = account
    end
  end
  if key then
    local text = 'running ' .. worker .. ' ' .. f
    tools.state[key] = text
    by_key[#by_key + 1] = 2 * n + 9
    taken[#taken + 1] = key
    states[#states + 1] = key
    states[#states + 1] = text
  end
end

-- Items as they lie in lanes, reserved and held, with the bodies of keyed ones: item, envelope and key of each.
local function open_items(items, first, each)
  local tool, found
  for i = first, #items do
    local item = items[i]
    local envelope, key = item, nil
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
      end
      key = sub(item, 2)
      envelope = found[key]
      if not envelope and not tool.state[key] and not (#key <= 512 and match(key, '^[^"\\%c]+$') and
            string.gsub(key, '[%z\1-\127\194-\244][\128-\191]*', '') == '') then
        key, envelope = nil, item          -- no pointer of ours, but a push that is no envelope: it will lie in dead
      end
    end
    if each(i, item, key, envelope) then return end
  end
end
