--[[ dead_rewind: a move by selection ends early: what it has turned to the head (lib/letters.lua) goes back to the tail, a slice a call.
KEYS    1 dead  lockstep:{queue}:dead   list, letters, newest first
ARGV    1 the letter that was turned last  2 letters to turn back
RETURNS {OK, ms, the letter that now is the one turned last, or ''} | {GONE, ms}: it is not near the head, nothing was done
COST    O(letters)                      REPEAT  answers GONE after the last slice; before it turns the next one ]]
local dead = KEYS[1]
local mark, letters = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local above = redis.call('LPOS', dead, mark, 'MAXLEN', 65)
if not above then return {'GONE', ms} end
local fresh = above > 0 and redis.call('LPOP', dead, above) or {}
for _ = 1, letters do redis.call('LMOVE', dead, dead, 'LEFT', 'RIGHT') end
local last = redis.call('LINDEX', dead, 0) or ''
for i = #fresh, 1, -1 do redis.call('LPUSH', dead, fresh[i]) end
return {'OK', ms, last}
