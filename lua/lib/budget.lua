-- lib/budget: what an account may do now. Wants us, ms, limits, ring. Fields of limits, each behind '<account>/':
--
--   rate burst     requests a second, and how many may go at once after a pause (GCRA)
--   next           us: when the budget is level again; ahead of now by what is paid for
--   learned        '<rate> <burst> <until, ms>': what the account's own answers said; the smaller of both holds
--   costs          'product=2 http=1': requests that a job prepays by its kind; others 1
--   parked reason  ms: until then nothing of the account runs, and a word for people
--   concurrency running   jobs at once over all workers, and how many there are
--   rule           '<failures> <open, ms> <cap, ms>' of the breaker
--   breaker        'closed <failures in a row>' | 'open <times> <until, ms>' | 'probe <times> <until, ms>'
--
-- A job pays when it goes, or up to AHEAD before (then it lies in reserved, due at the time it has paid for): so a late worker
-- costs nothing of a small burst, and a change of rate, a refund or a debt is felt within AHEAD. What is further behind waits unpaid
-- in held, and ring says when its account is to be looked at again.
local AHEAD = 1000000                        -- us
local PROBE_MS = 60000                       -- so long a probe of the breaker may take, then the next one goes
local FIELDS = {'/parked', '/rate', '/burst', '/next', '/costs', '/concurrency', '/running', '/rule', '/breaker', '/learned'}
local budgets = {}

local function budget_emit(budget)           -- us a request, 0 = no limit; and the burst
  local rate, burst = budget.rate, budget.burst
  local said, most, ends = string.match(budget.learned or '', '^(%S+) (%d+) (%d+)$')
  if said then
    said, most, budget.ends = tonumber(said), tonumber(most), tonumber(ends)
    if said > 0 and (rate == 0 or said < rate) then rate = said end
    if most > 0 and (budget.rate == 0 or most < burst) then burst = most end
  end
  budget.emit, budget.most = rate > 0 and 1000000 / rate or 0, math.max(burst, 1)
end

local function budget_of(account)
  local budget = budgets[account]
  if budget then return budget end
  local names = {}
  for i = 1, #FIELDS do names[i] = account .. FIELDS[i] end
  local found = redis.call('HMGET', limits, unpack(names))
  budget = {parked = tonumber(found[1] or '0') or 0, rate = tonumber(found[2] or '0') or 0, burst = tonumber(found[3] or '1') or 1,
    level = tonumber(found[4] or '0') or 0, costs = found[5], concurrency = tonumber(found[6] or '0') or 0,
    running = tonumber(found[7] or '0') or 0, rule = found[8], breaker = found[9], learned = found[10],
    taken = 0, level_dirty = false, breaker_dirty = false}
  local ends = string.match(budget.learned or '', '(%d+)$')
  if ends and tonumber(ends) <= ms then      -- what was learned is forgotten, and what was to be paid by it: that may be years
    redis.call('HDEL', limits, account .. '/learned')
    budget.learned, budget.level, budget.level_dirty = false, us, true
  end
  budget_emit(budget)
  if budget.level < us then budget.level = us end
  budgets[account] = budget
  return budget
end

local function budget_cost(budget, kind)
  if not budget.costs then return 1 end
  local costs = ' ' .. budget.costs
  local _, ends = string.find(costs, ' ' .. kind .. '=', 1, true)
  return ends and tonumber(string.match(costs, '^%d+', ends + 1)) or 1
end

local function budget_pay(budget, requests)
  if budget.emit == 0 or requests == 0 then return end
  budget.level = math.max(budget.level + requests * budget.emit, us)
  budget.level_dirty = true
end

-- May a job go now? nil: yes, and it is paid for, its place is taken. Else why not: 'reserve' and the ms for which it has paid now,
-- 'wait' and the us at which to look again, 'full': when one of the account's jobs ends.
local function budget_admit(account, kind, paid)
  local budget = budget_of(account)
  if budget.parked > ms then return 'wait', budget.parked * 1000 end
  local word, times, ends = string.match(budget.breaker or '', '^(%a+) (%d+) ?(%d*)$')
  if (word == 'open' or word == 'probe') and tonumber(ends) > ms then return 'wait', tonumber(ends) * 1000 end
  if budget.concurrency > 0 and budget.running >= budget.concurrency then return 'full' end
  local cost = (paid or budget.emit == 0) and 0 or budget_cost(budget, kind)
  if cost > 0 then
    local at = budget.level + math.min(cost - budget.most, 0) * budget.emit  -- one that costs more than the burst is owed for
    if at > us + AHEAD then return 'wait', math.min(at - AHEAD, budget.ends and budget.ends * 1000 or at) end
    budget_pay(budget, cost)
    if at > us then return 'reserve', math.ceil(at / 1000) end
  end
  if word == 'open' or word == 'probe' then  -- its time is over: this job finds out whether the platform is back
    budget.breaker, budget.breaker_dirty = string.format('probe %s %.0f', times, ms + PROBE_MS), true
  end
  if budget.concurrency > 0 then budget.running, budget.taken = budget.running + 1, budget.taken + 1 end
  return nil
end

-- What a claim made in truth against what its kind prepaid.
local function budget_settle(account, kind, requests)
  local budget = budget_of(account)
  budget_pay(budget, requests - budget_cost(budget, kind))
end

local function budget_look(account, at)      -- what waits behind the account is looked at then
  redis.call('ZADD', ring, 'XX', at, account)
end

local function budget_park(account, delay, reason)
  local budget = budget_of(account)
  if ms + delay <= budget.parked then return end
  budget.parked = ms + delay
  redis.call('HSET', limits, account .. '/parked', string.format('%.0f', budget.parked), account .. '/reason', reason)
end

-- One success ends a row of failures; one failure of a probe opens again, for twice as long. Returns true when it has just opened.
local function budget_report(account, done, failed)
  local budget = budget_of(account)
  local word, times = string.match(budget.breaker or '', '^(%a+) (%d+)')
  if done > 0 then
    if word then budget.breaker, budget.breaker_dirty = false, true end
    if word and word ~= 'closed' then budget_look(account, us) end
    return false
  end
  local failures, open, cap = string.match(budget.rule or '', '^(%d+) (%d+) (%d+)$')
  if failed == 0 or not failures or tonumber(failures) == 0 or word == 'open' then return false end
  budget.breaker_dirty = true
  times = tonumber(times or '0')
  if word ~= 'probe' then
    times = times + failed
    if times < tonumber(failures) then
      budget.breaker = string.format('closed %d', times)
      return false
    end
    times = 0
  end
  local pause = math.min(tonumber(open) * 2 ^ math.min(times, 30), tonumber(cap))
  budget.breaker = string.format('open %d %.0f', times + 1, ms + pause)
  budget_look(account, (ms + pause) * 1000)
  return true
end

-- What answers say: rate and burst ('' = nothing) hold for an hour; left: so many requests may go now.
local LEARNED_MS = 3600000
local function budget_learn(account, rate, burst, left)
  local budget = budget_of(account)
  if rate ~= '' or burst ~= '' then
    budget.learned = string.format('%s %s %.0f', rate ~= '' and rate or '0', burst ~= '' and burst or '0', ms + LEARNED_MS)
    redis.call('HSET', limits, account .. '/learned', budget.learned)
    budget_emit(budget)
  end
  if left ~= '' and budget.emit > 0 then
    local level = us + (budget.most - tonumber(left)) * budget.emit
    if level > budget.level then budget.level, budget.level_dirty = level, true end
  end
end

local function budget_flush()
  for account, budget in pairs(budgets) do
    if budget.level_dirty then redis.call('HSET', limits, account .. '/next', string.format('%.0f', budget.level)) end
    if budget.taken ~= 0 and redis.call('HINCRBY', limits, account .. '/running', budget.taken) <= 0 then
      redis.call('HDEL', limits, account .. '/running')
    end
    if budget.breaker_dirty and budget.breaker then
      redis.call('HSET', limits, account .. '/breaker', budget.breaker)
    elseif budget.breaker_dirty then
      redis.call('HDEL', limits, account .. '/breaker')
    end
    budget.level_dirty, budget.breaker_dirty, budget.taken = false, false, 0
  end
end
