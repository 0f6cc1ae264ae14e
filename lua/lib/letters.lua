-- lib/letters: taking letters out of dead. Wants dead, dead_groups, where, mark, letters, first, width: letter i is ARGV[first + width * (i - 1)],
-- then '1': take it, or '0': it stays; then its group.
--
-- What is picked from the middle of a long list would cost a search each. So 'oldest' looks at the list from its tail: what is taken leaves,
-- what stays is turned to the head, and after the last letter the list stands as before. `mark` is the letter that was turned last: what died
-- since then lies above it, and is kept there.
local FRESH_MAX = 64
local gone = {}                              -- group -> letters that left it

local function turn(n)                       -- the n oldest of the list: take and turn them; false when the mark was not found
  local stays = false
  for i = 1, n do stays = stays or ARGV[first + width * (i - 1) + 1] == '0' end
  local above = stays and mark ~= '' and redis.call('LPOS', dead, mark, 'MAXLEN', FRESH_MAX + 1)
  local fresh = above and above > 0 and redis.call('LPOP', dead, above) or {}
  for i = 1, n do
    if ARGV[first + width * (i - 1) + 1] == '1' then redis.call('RPOP', dead) else redis.call('LMOVE', dead, dead, 'RIGHT', 'LEFT') end
  end
  for i = #fresh, 1, -1 do redis.call('LPUSH', dead, fresh[i]) end
  return above ~= false or not stays or mark == ''
end

-- Calls taken(i) for each letter that was taken. Returns how many, and whether all that was turned lies together; nil: the letters are
-- not the oldest any more, nothing was done.
local function letters_take(taken)
  local moved, together = 0, true
  if where == 'oldest' then
    local have = redis.call('LRANGE', dead, -letters, -1)
    for i = 1, letters do
      if have[letters + 1 - i] ~= ARGV[first + width * (i - 1)] then return nil end
    end
    redis.call('HDEL', dead_groups, '')      -- a shrinking write first: a full Redis must let go of letters
    together = turn(letters)
  end
  for i = 1, letters do
    local at = first + width * (i - 1)
    if ARGV[at + 1] == '1' and (where == 'oldest' or redis.call('LREM', dead, where == 'tail' and -1 or 1, ARGV[at]) == 1) then
      gone[ARGV[at + 2]] = (gone[ARGV[at + 2]] or 0) + 1
      moved = moved + 1
      taken(at)
    end
  end
  return moved, together
end

local function group_leave(group, n)
  local count, rest = string.match(redis.call('HGET', dead_groups, group) or '', '^(%d+) (.*)$')
  if not count then return false end
  if tonumber(count) > n then
    redis.call('HSET', dead_groups, group, string.format('%.0f %s', count - n, rest))
  else
    redis.call('HDEL', dead_groups, group)
  end
  return true
end

local function letters_flush()
  local other = 0                            -- where the groups beyond the first thousand are counted
  for group, n in pairs(gone) do
    if group == '' or not group_leave(group, n) then other = other + n end
  end
  if other > 0 then group_leave('other', other) end
end
