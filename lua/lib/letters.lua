-- lib/letters: taking letters out of dead. Wants dead, dead_groups. true when the letter was there.
local function unbury(letter, group, from_tail)
  if redis.call('LREM', dead, from_tail and -1 or 1, letter) == 0 then return false end
  local row = group ~= '' and redis.call('HGET', dead_groups, group)
  if not row then
    group = 'other'                          -- where the groups beyond the first thousand are counted
    row = redis.call('HGET', dead_groups, group)
  end
  local n, rest = string.match(row or '', '^(%d+) (.*)$')
  if n and tonumber(n) > 1 then
    redis.call('HSET', dead_groups, group, string.format('%.0f %s', n - 1, rest))
  elseif n then
    redis.call('HDEL', dead_groups, group)
  end
  return true
end
