--[[ limit_release: give an account's reserved jobs new times by its present budget, a slice a call, earliest first.
KEYS    1 reserved  lockstep:{queue}:reserved   zset, envelope or '@key' -> paid due, ms
        2 bodies    lockstep:{queue}:bodies     hash, key -> newest waiting envelope
        3 limits    lockstep:{queue}:limits     hash, budgets (lib/gcra.lua)
        4 wake      lockstep:{queue}:wake       list of tokens
ARGV    1 account  2 cursor: score to go on from ('' = begin)  3 cursor: how many of that score to skip  4 at most so many looked at
RETURNS {OK|MORE, ms, cursor score, cursor skip, moved}
COST    O(looked at)                    REPEAT  gives new times again ]]
local reserved, bodies, limits, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local account, from, skip, max = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local us = time[1] * 1000000 + time[2]
local ms = math.floor(us / 1000)

--@include lib/gcra.lua

local budget = budget_of(account)
if from == '' then
  from, skip = string.format('%.0f', ms), 0
  budget.level, budget.dirty = us, budget.emit > 0       -- what was reserved is paid for anew
end
local rows = redis.call('ZRANGEBYSCORE', reserved, from, '+inf', 'WITHSCORES', 'LIMIT', skip, max)
local mine = '{"account":"' .. account .. '",'
local moved = {}
for i = 1, #rows, 2 do
  local item, score = rows[i], rows[i + 1]
  local envelope = item
  if string.byte(item) == 64 then envelope = redis.call('HGET', bodies, string.sub(item, 2)) end
  local stays = true
  if envelope and string.sub(envelope, 1, #mine) == mine then
    local at = budget_admit(account, false) or ms
    if at < tonumber(score) then
      stays = false
      moved[#moved + 1] = at
      moved[#moved + 1] = item
    end
  end
  if score ~= from then from, skip = score, 0 end
  if stays then skip = skip + 1 end
end
if #moved > 0 then redis.call('ZADD', reserved, unpack(moved)) end
budget_flush()
if #moved > 0 and redis.call('EXISTS', wake) == 0 then redis.call('LPUSH', wake, '1') end
return {#rows < 2 * max and 'OK' or 'MORE', ms, from, skip, #moved / 2}
