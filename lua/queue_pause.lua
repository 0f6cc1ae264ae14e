--[[ queue_pause: nothing is claimed any more, nothing is pushed any more, one process claims nothing more; or again.
KEYS    1 control  lockstep:{queue}:control   hash, paused, closed, quiet/<host>-<pid>: who and why
        2 workers  lockstep:{queue}:workers   zset, <host>-<pid>-<16 hex digits> -> deadline, ms
        3 wake     lockstep:{queue}:wake      list of tokens
ARGV    1 pause | close | resume (ends both) | quiet | unquiet | sweep (forgets the quiet processes that have no worker here)
        2 who and why  3 quiet, unquiet: <host>-<pid>, for unquiet '' = all of them
RETURNS {OK, was paused 0|1, was closed 0|1, processes that became quiet or ceased to be}
COST    O(1); unquiet of all and sweep O(fields of control), sweep O(workers) besides
REPEAT  the first one's reason stays ]]
local control, workers, wake = KEYS[1], KEYS[2], KEYS[3]
local verb, by, process = ARGV[1], ARGV[2], ARGV[3]
local paused, closed = redis.call('HEXISTS', control, 'paused'), redis.call('HEXISTS', control, 'closed')
local changed = 0

local function speak(which)                  -- which(process): is it quiet no longer?
  local fields = redis.call('HKEYS', control)
  for i = 1, #fields do
    local name = string.match(fields[i], '^quiet/(.*)$')
    if name and which(name) then changed = changed + redis.call('HDEL', control, fields[i]) end
  end
end

if verb == 'pause' then
  redis.call('HSETNX', control, 'paused', by)
elseif verb == 'close' then
  redis.call('HSETNX', control, 'closed', by)
elseif verb == 'resume' then
  redis.call('HDEL', control, 'paused', 'closed')
elseif verb == 'quiet' then
  changed = redis.call('HSETNX', control, 'quiet/' .. process, by)
elseif verb == 'unquiet' then
  speak(function(name) return process == '' or name == process end)
elseif verb == 'sweep' then
  local here, rows = {}, redis.call('ZRANGE', workers, 0, -1)
  for i = 1, #rows do here[string.sub(rows[i], 1, -18)] = true end
  speak(function(name) return not here[name] end)
end
if (verb == 'resume' and paused == 1 or verb == 'unquiet' and changed > 0) and redis.call('EXISTS', wake) == 0 then
  redis.call('LPUSH', wake, '1')
end
return {'OK', paused, closed, changed}
