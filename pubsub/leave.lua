-- Connections have ended: their identities go away, to be resumed for a while. identity.lua stands in front of it.
--
-- KEYS 1 ws:conns; then of each entry ws:away:{id}, ws:log:conn:{id}, ws:user:{user}:conns.
-- ARGV 1 id of the calling node, 2 how long an identity may be away, in ms; then of each entry: its id and its gen.
-- Answer: how many went away. The others are not there, or are another socket's by now: repeating does no harm.

local node, away_ms = ARGV[1], tonumber(ARGV[2])
local count = (#ARGV - 2) / 2
if not prefix or not away_ms or count < 1 or count % 1 ~= 0 or #KEYS ~= 1 + count * 3 then
  return fail('these are not the arguments of a leave')
end

local moved = 0
for i = 0, count - 1 do
  local id, gen, k = ARGV[3 + i * 2], tonumber(ARGV[4 + i * 2]), 2 + i * 3
  local entry = redis.call('HGET', conns_key, id)
  local known = read(entry)
  if known and known.node == node and known.gen == gen then
    go_away(id, entry, KEYS[k], KEYS[k + 1], KEYS[k + 2], away_ms)
    moved = moved + 1
  end
end
return moved
