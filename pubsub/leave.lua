-- Connections have ended: their identities go away, to be resumed for a while. identity.lua stands in front of it.
--
-- KEYS 1 to 3 as there; then of each entry ws:away:{id}, ws:log:conn:{id}, ws:user:{user}:conns.
-- ARGV 1 as there, 2 id of the calling node, 3 how long an identity may be away, in ms; then of each entry: its id, its
-- gen, the code that its socket was closed with, and how long that was open, in ms.
-- Answer: how many went away. The others are not there, or are another socket's by now: repeating does no harm.

local FIRST, KEYS_EACH, ARGUMENTS_EACH = 4, 3, 4

local node, away_ms = ARGV[2], tonumber(ARGV[3])
local count = (#ARGV - FIRST + 1) / ARGUMENTS_EACH
if not prefix or not away_ms or count < 1 or count % 1 ~= 0 or #KEYS ~= FIRST - 1 + count * KEYS_EACH then
  return fail('these are not the arguments of a leave')
end

local moved = 0
for i = 0, count - 1 do
  local a, k = FIRST + i * ARGUMENTS_EACH, FIRST + i * KEYS_EACH
  local id, gen, code, duration = ARGV[a], tonumber(ARGV[a + 1]), ARGV[a + 2], ARGV[a + 3]
  local entry = redis.call('HGET', conns_key, id)
  local known = read(entry)
  if known and known.node == node and known.gen == gen then
    go_away(id, known, entry, KEYS[k], KEYS[k + 1], KEYS[k + 2], away_ms, code, duration)
    moved = moved + 1
  end
end
return moved
