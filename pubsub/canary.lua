-- A worker's canary: proves that this Redis takes writes and that its channels reach the worker. It opens the epoch,
-- moves the floor without events, and renews the worker's lease. common.lua stands in front of it.
--
-- KEYS 1 to 4 as in the publishing script; 5 ws:nodes, 6 ws:node:{id}, which is the node's lease and its channel;
-- 7 ws:lifecycle:due where LIFECYCLE is on.
-- ARGV 1 greatest epoch seen; 2 REPLAY_EVENTS, 3 REPLAY_USER_EVENTS, 4 REPLAY_TTL in ms; 5 node id; 6 nonce; 7 how long
-- the lease lives, in ms; then fields and values of the lease, at least local and dead.
-- Answer: epoch, seq, floor, the oldest position that can be resumed from, 1 if the lease was still there, and the id of
-- a node whose lease has ended, for the caller to reap, '' if there is none. With KEYS[7] besides: 1 if a user is due to be told offline, else 0.

-- For so long no other worker is pointed at that node: unless it ends meanwhile, one works through it.
local REAP_RESERVED = 30000

local nodes_key, lease_key = KEYS[5], KEYS[6]
local seen, ttl, lease_ms = whole(ARGV[1]), whole(ARGV[4]), whole(ARGV[7])
if not (lease_key and seen and whole(ARGV[2]) and whole(ARGV[3]) and ttl and lease_ms) or #ARGV < 9 or #ARGV % 2 == 0 then
  return fail('ARGS', 'these are not the arguments of a canary')
end

local existed = redis.call('EXISTS', lease_key)
local failed = check_epoch(seen, function()
  return { broadcast_log }
end)
if failed then
  return failed
end

-- With Redis' memory full the old counts go on living: delivery still works, so the canary has to come back.
local renewed = redis.pcall('HSET', lease_key, unpack(ARGV, 8))
if type(renewed) == 'table' and not (existed == 1 and string.find(renewed.err, 'OOM', 1, true)) then
  return renewed
end
redis.call('PEXPIRE', lease_key, text(lease_ms))
redis.call('ZADD', nodes_key, text(now + lease_ms), ARGV[5])
local ended = redis.call('ZRANGEBYSCORE', nodes_key, '-inf', '(' .. text(now), 'LIMIT', 0, 1)[1]
if ended then
  redis.call('ZADD', nodes_key, text(now + REAP_RESERVED), ended)
end

local oldest = raise_floor(ttl)
-- Services that publish by themselves may leave these settings out.
local replay = ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4]
redis.call('HSET', head_key, 'floor', text(floor), 'replay', replay)

redis.call('PUBLISH', lease_key, 'canary ' .. id_of(seq) .. ' ' .. ARGV[6])
local overdue = KEYS[7] and #redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', text(now), 'LIMIT', 0, 1)
return { epoch, seq, floor, oldest, existed, ended or '', overdue }
