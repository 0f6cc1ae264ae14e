--[[ leader_hold: become, stay or stop being the leader of the fleet.
KEYS    1 leader  lockstep:{fleet}:leader   string with expiry, who
ARGV    1 owner  2 lease, ms; 0 = step down
RETURNS {LEADER, who, ms left} | {FOLLOWER, who, ms left} | {FREE}
COST    O(1)                            REPEAT  renews ]]
local leader = KEYS[1]
local owner, lease = ARGV[1], tonumber(ARGV[2])
local who = redis.call('GET', leader)
if who and who ~= owner then return {'FOLLOWER', who, redis.call('PTTL', leader)} end
if lease == 0 then
  if who then redis.call('DEL', leader) end
  return {'FREE'}
end
redis.call('SET', leader, owner, 'PX', lease)
return {'LEADER', owner, lease}
