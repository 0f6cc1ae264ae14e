--[[ limit_set: change what an account may do, park it, or end its parking.
KEYS    1 limits  lockstep:{queue}:limits   hash, budgets (lib/budget.lua)
        2 ring    lockstep:{queue}:ring     zset, account -> when to look at what it holds, us
        3 wake    lockstep:{queue}:wake     list of tokens
ARGV    1 account  2 rate a second ('' = leave, 0 = none)  3 burst ('' = leave)  4 jobs at once ('' = leave, 0 = no limit)
        5 costs ('' = leave)  6 rule of the breaker ('' = leave)
        7 park for ms ('' = leave, 0 = end the parking and close the breaker)  8 reason
RETURNS {OK, ms, parked until, 0 = not parked}
COST    O(log n), n = accounts that hold jobs   REPEAT  the longer parking stays ]]
local limits, ring, wake = KEYS[1], KEYS[2], KEYS[3]
local account, rate, burst, concurrency, costs, rule = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local park, reason = ARGV[7], ARGV[8]
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)

--@include lib/budget.lua

local function put(name, value, none)
  if value == none then
    redis.call('HDEL', limits, account .. name)
  elseif value ~= '' then
    redis.call('HSET', limits, account .. name, value)
  end
end
put('/rate', rate, '0')
if rate == '0' then redis.call('HDEL', limits, account .. '/next') end
put('/burst', burst)
put('/concurrency', concurrency, '0')
put('/costs', costs)
put('/rule', rule)
if park == '0' then
  redis.call('HDEL', limits, account .. '/parked', account .. '/reason', account .. '/breaker')
elseif park ~= '' then
  budget_park(account, tonumber(park), reason)
end
local ends = tonumber(redis.call('HGET', limits, account .. '/parked') or '0')
if ends <= ms then
  ends = 0
  redis.call('HDEL', limits, account .. '/parked', account .. '/reason')
end
if redis.call('ZSCORE', ring, account) then
  budget_look(account, math.max(us, ends * 1000))
  if redis.call('EXISTS', wake) == 0 then redis.call('LPUSH', wake, '1') end
elseif concurrency ~= '' then
  redis.call('ZADD', ring, us, account)      -- what waited for a place may find one now; an account that holds nothing is dropped again
end
return {'OK', ms, ends}
