--[[ limit_take: draw requests from an account's budget at once, for a job that makes many.
KEYS    1 limits  lockstep:{queue}:limits   hash, budgets (lib/gcra.lua)
ARGV    1 account  2 wanted
RETURNS {OK, ms, granted, ms until one more, parked 0|1}
COST    O(1)                            REPEAT  draws again ]]
local limits = KEYS[1]
local account, wanted = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)

--@include lib/gcra.lua

local budget = budget_of(account)
if budget.parked > ms then return {'OK', ms, 0, budget.parked - ms, 1} end
if budget.emit == 0 then return {'OK', ms, wanted, 0, 0} end
local room = math.floor((us + budget.burst * budget.emit - budget.level) / budget.emit)
local granted = math.max(0, math.min(wanted, room))
if granted > 0 then
  budget_charge(account, granted)
  budget_flush()
end
local wait = math.max(0, budget.level - (budget.burst - 1) * budget.emit - us)
return {'OK', ms, granted, math.ceil(wait / 1000), 0}
