--[[ cron_fire: one caller gets each tick of a schedule.
KEYS    1 cron  lockstep:{fleet}:cron   hash, schedule -> 'done <tick>' or 'firing <tick> <owner> <held until, ms> <tick done before>'
ARGV    1 begin | done  2 schedule  3 every, ms  4 owner  5 begin: hold for ms; done: the tick
RETURNS begin: {FIRE, ms, tick}: push the job with an id made of schedule and tick, then done
               {WAIT, ms, ms to wait}: fired already, or held by another
        done:  {OK, ms} | {LATE, ms}: the hold had passed to another; harmless, the id is the same
COST    O(1)                            REPEAT  begin: the same owner gets the same tick; done: answers LATE ]]
local cron = KEYS[1]
local step, schedule, every, owner, extra = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local tick = math.floor(ms / every)
local text = redis.call('HGET', cron, schedule) or ''
local held, holder, ends, before = string.match(text, '^firing (%d+) (%S+) (%d+) (%d+)$')
if step == 'done' then
  if tonumber(held or '-1') ~= extra or holder ~= owner then return {'LATE', ms} end
  redis.call('HSET', cron, schedule, string.format('done %.0f', extra))
  return {'OK', ms}
end
local last = tonumber(held and before or string.match(text, '^done (%d+)$') or '-1')
if held and tonumber(ends) > ms then
  if holder ~= owner then return {'WAIT', ms, tonumber(ends) - ms} end
  tick = tonumber(held)                      -- its own, whose answer was lost
elseif held then
  tick = tonumber(held)                      -- its holder died: the same tick, the same id
end
if tick <= last then return {'WAIT', ms, (last + 1) * every - ms} end
redis.call('HSET', cron, schedule, string.format('firing %.0f %s %.0f %.0f', tick, owner, ms + extra, math.max(last, 0)))
return {'FIRE', ms, tick}
