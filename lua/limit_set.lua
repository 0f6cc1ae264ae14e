--[[ limit_set: change an account's budget, park it or end its parking.
KEYS    1 limits  lockstep:{queue}:limits   hash, budgets (lib/gcra.lua)
ARGV    1 account  2 rate a second ('' = leave, 0 = none)  3 burst ('' = leave)  4 park for ms ('' = leave, 0 = end)  5 reason
RETURNS {OK, ms, parked until, 0 = not parked}
COST    O(1)                            REPEAT  the longer parking stays ]]
local limits = KEYS[1]
local account, rate, burst, park, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)

--@include lib/gcra.lua

if rate ~= '' and tonumber(rate) > 0 then
  redis.call('HSET', limits, account .. '/rate', rate)
elseif rate ~= '' then
  redis.call('HDEL', limits, account .. '/rate', account .. '/next')
end
if burst ~= '' then redis.call('HSET', limits, account .. '/burst', burst) end
if park == '0' then
  redis.call('HDEL', limits, account .. '/parked', account .. '/reason')
elseif park ~= '' then
  budget_park(account, tonumber(park), reason)
end
local ends = tonumber(redis.call('HGET', limits, account .. '/parked') or '0')
if ends <= ms then
  ends = 0
  redis.call('HDEL', limits, account .. '/parked', account .. '/reason')
end
return {'OK', ms, ends}
