--[[ cron_fire: one caller gets each tick of a schedule.
KEYS    1 cron  lockstep:{fleet}:cron   hash, schedule -> 'done <tick> <every>' or
                                        'firing <tick> <every> <owner> <held until, ms> <tick done before>'
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
local held, paced, holder, ends, before = string.match(text, '^firing (%d+) (%d+) (%S+) (%d+) (%d+)$')
if step == 'done' then
  if tonumber(held or '-1') ~= extra or holder ~= owner then return {'LATE', ms} end
  redis.call('HSET', cron, schedule, string.format('done %.0f %s', extra, paced))
  return {'OK', ms}
end
if held and holder ~= owner and tonumber(ends) > ms then return {'WAIT', ms, tonumber(ends) - ms} end
local last = before
if not held then last, paced = string.match(text, '^done (%d+) (%d+)$') end
last = tonumber(last or '0')
if tonumber(paced or '0') ~= every then
  held, last = nil, 0                        -- another pace: its ticks say nothing about ours
end
if held then tick = tonumber(held) end       -- our own, whose answer was lost, or of a holder that died: the same tick, the same id
if tick <= last then return {'WAIT', ms, (last + 1) * every - ms} end
redis.call('HSET', cron, schedule, string.format('firing %.0f %.0f %s %.0f %.0f', tick, every, owner, ms + extra, last))
return {'FIRE', ms, tick}
