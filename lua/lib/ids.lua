-- lib/ids: ids of the callers', taken once. Wants ms, ids, ids_ttl.
local function id_known(id)
  local expiry = redis.call('ZSCORE', ids, id)
  return expiry and tonumber(expiry) > ms
end

local function id_remember(id)
  redis.call('ZADD', ids, ms + ids_ttl, id)
end

local function ids_forget()                  -- some of those whose time is over. Last: a full Redis must refuse the whole push
  local old = redis.call('ZRANGEBYSCORE', ids, '-inf', ms, 'LIMIT', 0, 64)
  if #old > 0 then redis.call('ZREM', ids, unpack(old)) end
end
