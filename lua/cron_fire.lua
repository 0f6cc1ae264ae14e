--[[ cron_fire: one caller gets each tick of a schedule. Ticks are moments, ms since 1970, that callers compute; what is due is said here.
KEYS    1 cron  lockstep:{fleet}:cron   hash, schedule -> 'since <ms> <spec>': seen first then, nothing fired yet (-1: the first tick is at once)
                                        'done <tick> <spec>': everything up to this tick is settled
                                        'firing <tick> <spec> <owner> <held until, ms> <what was settled before>'
ARGV    1 begin | done  2 schedule  3 spec: a fingerprint of its pace, no spaces  4 owner  5 the tick; begin: 0 = none is planned yet
        begin: 6 what it was planned from, -1 = nothing known  7 the moment from which another plan is better, 0 = never
        8 hold for ms  9 now | next: the first tick of a schedule that nobody has seen with this spec
RETURNS begin: {FIRE, ms, tick, 1 if another spec was in use}: push its job with an id made of schedule and tick, then done. The tick may
               be an older one than asked for: begun by a holder that died, or by you
               {PLAN, ms, settled}: nothing to fire; the next tick is one after `settled`, and due when ms says so
               {HELD, ms, tick, ms left}: another caller is at this tick
        done:  {OK, ms} | {LATE, ms}: the hold had passed to another; harmless, the id is the same
COST    O(1)                            REPEAT  begin: the same owner gets the same tick; done: answers LATE ]]
local cron = KEYS[1]
local step, schedule, spec, owner, tick = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local text = redis.call('HGET', cron, schedule) or ''
local word, at, whose, holder, ends, before = string.match(text, '^(%l+) (%-?%d+) (%S+) ?(%S*) ?(%d*) ?(%-?%d*)$')
local ours = whose == spec
if step == 'done' then
  if not ours or word ~= 'firing' or holder ~= owner or tonumber(at) ~= tick then return {'LATE', ms} end
  redis.call('HSET', cron, schedule, string.format('done %.0f %s', tick, spec))
  return {'OK', ms}
end
local from, stale, hold, first = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9]
local settled
if ours and word == 'firing' then
  local left = tonumber(ends) - ms           -- more than a whole hold: the clock has stepped back since
  if holder ~= owner and left > 0 and left <= hold then return {'HELD', ms, tonumber(at), left} end
  tick, stale, settled = tonumber(at), 0, tonumber(before)                   -- what was begun is finished first
elseif ours then
  settled = math.max(tonumber(at), from)     -- a Redis that lost its last second must not fire again what the caller saw done
elseif tick > 0 then
  settled = from                             -- gone, or of a fleet that does not agree on the pace: the caller's knowledge holds
else
  settled = first == 'now' and -1 or ms
  redis.call('HSET', cron, schedule, string.format('since %.0f %s', settled, spec))
end
if tick == 0 or tick <= settled or tick > ms or (stale > 0 and ms >= stale) then return {'PLAN', ms, settled} end
redis.call('HSET', cron, schedule, string.format('firing %.0f %s %s %.0f %.0f', tick, spec, owner, ms + hold, settled))
return {'FIRE', ms, tick, (whose and not ours) and 1 or 0}
