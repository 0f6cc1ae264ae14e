-- lib/room: may anything be pushed? Wants ms, bound (of the caller, 0 = none), control, pending_high, pending, pending_low, delayed,
-- held. nil, or the reply that refuses.
local function room()
  local set = redis.call('HMGET', control, 'bound', 'closed')
  if set[2] then return {'CLOSED', ms, set[2]} end
  local own = tonumber(set[1] or '0') or 0
  if own > 0 and (bound == 0 or own < bound) then bound = own end
  if bound == 0 then return nil end
  local waiting = redis.call('LLEN', pending_high) + redis.call('LLEN', pending) + redis.call('LLEN', pending_low)
    + redis.call('ZCARD', delayed) + redis.call('ZCARD', held)
  if waiting >= bound then return {'FULL', ms, waiting, bound} end
  return nil
end
