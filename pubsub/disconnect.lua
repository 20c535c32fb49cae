-- Ends identities for good: their sockets are ordered to close, and they cannot be resumed. identity.lua stands in front
-- of it.
--
-- KEYS 1 to 3 as there; 4 ws:away:{id} and 5 ws:log:conn:{id} of a connection, or 4 ws:user:{user}:conns of a user. The
-- keys of what is found there cannot be known before: they are made of the entries.
-- ARGV 1 as there, 2 'connection' or 'user', 3 its id, 4 how many of a user's connections to end in this step, 5 for how
-- long an ended identity is remembered, in ms, 6 the reason.
-- Answer: how many were ended, and how many of the user's are left.

local kind, id, count, remember_ms, reason = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local keys = ({ connection = 5, user = 4 })[kind or '']
if not prefix or #KEYS ~= keys or not id or not count or not remember_ms or not reason then
  return fail('these are not the arguments of a disconnection')
end

-- The first write is a removal here too. The order goes out also for an identity that is away: its node may only have
-- been stopped, and still hold the socket.
local function disconnect(name, known, away_key, log_key)
  if redis.call('HDEL', conns_key, name) == 1 then
    go(name, known, prefix .. 'user:' .. known.user .. ':conns', '4403')
  end
  redis.call('DEL', log_key)
  redis.call('SET', away_key, '-' .. text(known.gen) .. ' ' .. reason, 'PX', text(remember_ms))
  order_disconnect(known.node, name, known.gen, reason)
end

if kind == 'connection' then
  local known = read(redis.call('HGET', conns_key, id) or redis.call('GET', KEYS[4]))
  if not known then
    return { 0, 0 }
  end
  disconnect(id, known, KEYS[4], KEYS[5])
  return { 1, 0 }
end

local done = 0
for _, name in ipairs(redis.call('SPOP', KEYS[4], text(count))) do
  local known = read(redis.call('HGET', conns_key, name))
  if known and known.user == id then
    disconnect(name, known, prefix .. 'away:' .. name, prefix .. 'log:conn:' .. name)
    done = done + 1
  end
end
return { done, redis.call('SCARD', KEYS[4]) }
