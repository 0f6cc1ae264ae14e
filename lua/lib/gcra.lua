-- lib/gcra: budgets of accounts. Wants us, ms, limits. Fields of limits: <account>/rate (requests a second), /burst, /next (us: when
-- the budget is level again), /parked (ms: until then nothing of the account runs), /reason (for people).
local RECHECK_MS = 600000                    -- behind a long parking a job looks again so often
local budgets = {}

local function budget_of(account)
  local budget = budgets[account]
  if budget then return budget end
  local found = redis.call('HMGET', limits, account .. '/parked', account .. '/rate', account .. '/burst', account .. '/next')
  local rate = tonumber(found[2] or '0') or 0
  budget = {parked = tonumber(found[1] or '0') or 0, emit = rate > 0 and 1000000 / rate or 0,
    burst = math.max(tonumber(found[3] or '1') or 1, 1), level = tonumber(found[4] or '0') or 0, dirty = false}
  if budget.level < us then budget.level = us end
  budgets[account] = budget
  return budget
end

-- Pay for one request. Returns nil: go; or the ms at which what is paid now may go. One that has paid before (paid) waits only for
-- the end of a parking; its old time lay within it and is lost to everybody, so it pays for a new one behind all others.
local function budget_admit(account, paid)
  local budget = budget_of(account)
  local from = us
  if budget.parked > ms then
    local ends = math.min(budget.parked, ms + RECHECK_MS)
    if budget.emit == 0 then return ends end
    from = ends * 1000
    if budget.level < from then budget.level = from end
  elseif paid or budget.emit == 0 then
    return nil
  end
  local at = math.max(budget.level - (budget.burst - 1) * budget.emit, from)
  budget.level = budget.level + budget.emit
  budget.dirty = true
  if at <= us then return nil end
  return math.ceil(at / 1000)
end

local function budget_charge(account, requests)
  local budget = budget_of(account)
  if budget.emit == 0 then return end
  budget.level = budget.level + requests * budget.emit
  budget.dirty = true
end

local function budget_park(account, delay, reason)
  local budget = budget_of(account)
  if ms + delay <= budget.parked then return end
  budget.parked = ms + delay
  redis.call('HSET', limits, account .. '/parked', string.format('%.0f', budget.parked), account .. '/reason', reason)
end

local function budget_flush()
  for account, budget in pairs(budgets) do
    if budget.dirty then redis.call('HSET', limits, account .. '/next', string.format('%.0f', budget.level)) end
    budget.dirty = false
  end
end
