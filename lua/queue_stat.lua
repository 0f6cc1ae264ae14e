--[[ queue_stat: how the queue stands.
KEYS    1 pending_high  lockstep:{queue}:pending:high   list
        2 pending       lockstep:{queue}:pending        list
        3 pending_low   lockstep:{queue}:pending:low    list
        4 delayed       lockstep:{queue}:delayed        zset
        5 reserved      lockstep:{queue}:reserved       zset
        6 dead          lockstep:{queue}:dead           list
        7 dead_groups   lockstep:{queue}:dead:groups    hash
        8 keys          lockstep:{queue}:keys           hash
        9 workers       lockstep:{queue}:workers        zset
        10 control      lockstep:{queue}:control        hash
        11 stats        lockstep:{queue}:stats          hash
        12 held         lockstep:{queue}:held           zset
        13 ring         lockstep:{queue}:ring           zset, account -> when to look at what it holds, us
ARGV    none
RETURNS {OK, ms, pending high, pending, pending low, delayed, reserved, dead, dead groups, keys, workers, workers whose lease ran out,
        first of delayed (due ms or 0), first of reserved, paused (who, '' = not), bound, held, first of ring (ms or 0),
        closed (who, '' = not), max_running, max_dead, since when the head of high, normal, low waits
        (ms as text, or the id of the job, or '' = not known), {counter, value, ...}}
COST    O(counters)                     REPEAT  reads only ]]
local pending_high, pending, pending_low, delayed, reserved = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local dead, dead_groups, keys, workers, control, stats = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local held, ring = KEYS[12], KEYS[13]
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local function due(zset)
  local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2]) or 0
end
local function since(lane)
  local head = redis.call('LINDEX', lane, 0)
  if not head then return '' end
  if string.byte(head) == 64 then
    local text = redis.call('HGET', keys, string.sub(head, 2)) or ''
    return string.match(text, '^pending (%d+) ') or ''
  end
  return string.match(head, '^{"account":"[^"]*","id":"([^"]+)"') or string.match(head, '^{"id":"([^"]+)"') or ''
end
local said = redis.call('HMGET', control, 'paused', 'bound', 'closed', 'max_running', 'max_dead')
local function number(text) return tonumber(text or '0') or 0 end
return {'OK', ms, redis.call('LLEN', pending_high), redis.call('LLEN', pending), redis.call('LLEN', pending_low),
  redis.call('ZCARD', delayed), redis.call('ZCARD', reserved), redis.call('LLEN', dead), redis.call('HLEN', dead_groups),
  redis.call('HLEN', keys), redis.call('ZCARD', workers), redis.call('ZCOUNT', workers, '-inf', ms - 1),
  due(delayed), due(reserved), said[1] or '', number(said[2]), redis.call('ZCARD', held), math.floor(due(ring) / 1000),
  said[3] or '', number(said[4]), number(said[5]), since(pending_high), since(pending), since(pending_low),
  redis.call('HGETALL', stats)}
