--[[ limit_take: draw requests from an account's budget, for a job that makes many; or give back what it did not make.
KEYS    1 limits  lockstep:{queue}:limits   hash, budgets (lib/budget.lua)
        2 ring    lockstep:{queue}:ring     zset, account -> when to look at what it holds, us
ARGV    1 account  2 wanted; below 0: given back
RETURNS {OK, ms, granted, ms to wait: before the first of them is made, or, with 0 granted, before asking again; parked 0|1}
COST    O(1)                            REPEAT  draws again ]]
local limits, ring = KEYS[1], KEYS[2]
local account, wanted = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)

--@include lib/budget.lua

local budget = budget_of(account)
if wanted < 0 then
  budget_pay(budget, wanted)
  budget_flush()
  return {'OK', ms, wanted, 0, 0}
end
if budget.parked > ms then return {'OK', ms, 0, budget.parked - ms, 1} end
local word, ends = string.match(budget.breaker or '', '^(%a+) %d+ ?(%d*)$')
if (word == 'open' or word == 'probe') and tonumber(ends) > ms then return {'OK', ms, 0, tonumber(ends) - ms, 1} end
if budget.emit == 0 then return {'OK', ms, wanted, 0, 0} end
-- It may pay a little further ahead than single jobs do, or a flood of them would leave it nothing; and only for so many at once
-- as go within AHEAD, at least for one.
local granted = math.max(1, math.min(wanted, math.floor(budget.most + AHEAD / budget.emit)))
local at = budget.level + (granted - budget.most) * budget.emit
local limit = us + AHEAD + granted * budget.emit
if at > limit then return {'OK', ms, 0, math.ceil((at - limit) / 1000), 0} end
budget_pay(budget, granted)
budget_flush()
return {'OK', ms, granted, math.max(0, math.ceil((at - us) / 1000)), 0}
