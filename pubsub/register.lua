-- Makes connections known, and lets others take an identity over. identity.lua stands in front of it.
--
-- KEYS 1 to 3 as there, 4 ws:nodes, 5 ws:node:{id} of the caller, 6 ws:head; then of each entry ws:away:{id},
-- ws:log:conn:{id} (both of the claimed id if there is one, else of its own) and ws:user:{user}:conns.
-- ARGV 1 as there, 2 id of the calling node, 3 how long a log lives while its connection is there, in ms; then of each
-- entry: the claimed id or '', its own id, its own gen, its user, and the JSON of ws:conns up to the gen and from there on.
-- Answer: of each entry a status and the gen that counts.
--    0 superseded   a newer socket has this identity: the caller's has to be closed
--    1 held         the identity was known, and is this caller's
--    2 new          its own id was not known, and now is
--    3 claimed      the claimed id is this caller's from now on; whoever held it has been ordered to close
--    4 disconnected this identity was ended by an operator: the caller has been ordered once more to close it
-- Last the epoch in which that is so, 0 where no ws:head tells.
-- A claim of an id that is not known, was ended, or is another user's, registers its own id as new.
--
-- An entry is removed from ws:away before it is written to ws:conns: where Redis' memory is full that lets the writes
-- pass (identity.lua). A few hundred bytes for each connection are worth that none is unknown.

local SUPERSEDED, HELD, NEW, CLAIMED, DISCONNECTED = 0, 1, 2, 3, 4
local FIRST_KEY, KEYS_EACH, FIRST_ARGUMENT, ARGUMENTS_EACH = 7, 3, 4, 6

local nodes_key, lease_key = KEYS[4], KEYS[5]
local node, log_lives = ARGV[2], ARGV[3]

-- The identity and whether it is here, not away; nil where there is none. Then what stands in ws:away, if that was read.
local function find(id, away_key)
  local here = redis.call('HGET', conns_key, id)
  local away = not here and redis.call('GET', away_key)
  return read(here or away), here and true, away
end

-- `known`: as whose socket the identity is here until now, if it is.
local function write(id, gen, user, known, away_key, log_key, user_key, head, tail)
  redis.call('DEL', away_key)
  redis.call('HSET', conns_key, id, head .. text(gen) .. tail)
  if known and known.node == node and known.gen == gen then
    redis.call('SADD', user_key, id)
  else
    if known then
      tell_gone(id, known, '4409')
    end
    come(id, user, node, gen, user_key)
  end
  redis.call('PEXPIRE', log_key, log_lives)
end

-- The same gen on two nodes can only come from a failover that has lost one of two claims: whoever is known stays.
local function register(id, gen, user, away_key, log_key, user_key, head, tail)
  local known, here, away = find(id, away_key)
  local ended_gen, reason = ended(away)
  if ended_gen and ended_gen >= gen then
    order_disconnect(node, id, ended_gen, reason)
    return DISCONNECTED, ended_gen
  end
  if known and (known.gen > gen or (known.gen == gen and known.node ~= node)) then
    return SUPERSEDED, known.gen
  end
  write(id, gen, user, here and known, away_key, log_key, user_key, head, tail)
  return known and HELD or NEW, gen
end

-- The order goes out also for an identity that is away: its node may only have been stopped, and still hold the socket.
local function claim(claimed, id, user, away_key, log_key, user_key, head, tail)
  local known, here = find(claimed, away_key)
  if not known or known.user ~= user then
    redis.call('DEL', prefix .. 'away:' .. id) -- there is none: for the sake of what follows, as above
    redis.call('HSET', conns_key, id, head .. '1' .. tail)
    come(id, user, node, 1, user_key)
    return NEW, 1
  end
  local gen = known.gen + 1
  write(claimed, gen, user, here and known, away_key, log_key, user_key, head, tail)
  redis.call('PUBLISH', prefix .. 'node:' .. known.node, 'close ' .. claimed .. ' ' .. text(gen))
  return CLAIMED, gen
end

local count = (#ARGV - FIRST_ARGUMENT + 1) / ARGUMENTS_EACH
if not prefix or count < 1 or count % 1 ~= 0 or #KEYS ~= FIRST_KEY - 1 + count * KEYS_EACH then
  return fail('these are not the arguments of a registration')
end

local reply = {}
for i = 0, count - 1 do
  local k, a = FIRST_KEY + i * KEYS_EACH, FIRST_ARGUMENT + i * ARGUMENTS_EACH
  local claimed, id, gen, user, head, tail = unpack(ARGV, a, a + ARGUMENTS_EACH - 1)
  local status
  if claimed ~= '' then
    status, gen = claim(claimed, id, user, KEYS[k], KEYS[k + 1], KEYS[k + 2], head, tail)
  else
    status, gen = register(id, tonumber(gen), user, KEYS[k], KEYS[k + 1], KEYS[k + 2], head, tail)
  end
  reply[#reply + 1] = status
  reply[#reply + 1] = gen
end

-- A node without a lease is one that has been reaped. Should it end before its next canary, another pass has to find it.
if redis.call('EXISTS', lease_key) == 0 then
  redis.call('ZADD', nodes_key, 'NX', 0, node)
end
reply[#reply + 1] = tonumber(redis.call('HGET', KEYS[6], 'epoch') or 0)
return reply
