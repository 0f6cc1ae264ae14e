--[[ queue_pause: nothing is claimed any more, or again.
KEYS    1 control  lockstep:{queue}:control   hash, paused = who and why
        2 wake     lockstep:{queue}:wake      list of tokens
ARGV    1 pause | resume  2 who and why
RETURNS {OK, was paused 0|1}
COST    O(1)                            REPEAT  the first one's reason stays ]]
local control, wake = KEYS[1], KEYS[2]
local was = redis.call('HEXISTS', control, 'paused')
if ARGV[1] == 'pause' then
  redis.call('HSETNX', control, 'paused', ARGV[2])
elseif was == 1 then
  redis.call('HDEL', control, 'paused')
  if redis.call('EXISTS', wake) == 0 then redis.call('LPUSH', wake, '1') end
end
return {'OK', was}
