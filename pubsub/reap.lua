-- One step through ws:conns for a node whose lease has ended: what it held goes away. identity.lua stands in front of it.
-- A scan costs the living nothing, where an index of each node's connections would cost two writes a connection; and
-- nodes seldom die.
--
-- KEYS 1 to 3 as there, 4 ws:nodes, 5 ws:node:{id} of the dead node. The keys of what is found cannot be known before:
-- ws:away:{id}, ws:log:conn:{id} and ws:user:{user}:conns are made of the entries.
-- ARGV 1 as there, 2 id of the dead node, 3 cursor (0 to begin), 4 entries to look at, 5 how long an identity may be away,
-- 6 for how long no other worker is pointed at this node, both in ms.
-- Answer: the next cursor (0: nothing is left to do), how many went away. A node that has come back is left alone.

local nodes_key, lease_key = KEYS[4], KEYS[5]
local node, cursor, count, away_ms, reserve_ms = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
if not (prefix and lease_key and count and away_ms and reserve_ms) then
  return fail('these are not the arguments of a reaping')
end

if redis.call('EXISTS', lease_key) == 1 then
  return { '0', 0 }
end

local page = redis.call('HSCAN', conns_key, cursor, 'COUNT', count)
local mine, moved = '"node":"' .. node .. '"', 0
for i = 1, #page[2], 2 do
  local id, entry = page[2][i], page[2][i + 1]
  -- Inside of a JSON string those quotes would be escaped: most entries need not be decoded.
  local known = string.find(entry, mine, 1, true) and read(entry)
  if known and known.node == node then
    go_away(id, known, entry, prefix .. 'away:' .. id, prefix .. 'log:conn:' .. id,
      prefix .. 'user:' .. known.user .. ':conns', away_ms, '1006')
    moved = moved + 1
  end
end

if page[1] == '0' then
  redis.call('ZREM', nodes_key, node)
else
  redis.call('ZADD', nodes_key, 'XX', text(milliseconds() + reserve_ms), node)
end
return { page[1], moved }
