-- Empties a log. One entry stays as a marker: it has an id of its own, the id of the last erased event as `prev`, and
-- nothing to deliver, so that who missed the erased is told. common.lua stands in front of it.
--
-- KEYS 1 to 4 as in the publishing script; 5 the log.
-- ARGV 1 greatest epoch seen; 2 REPLAY_EVENTS, 3 REPLAY_USER_EVENTS, 4 REPLAY_TTL in ms.
-- Answer as the publishing script's of one event: `ok`, epoch, seq, the id of the erasure, 0. An erasure takes an id
-- also where there was nothing to erase. Repeated it does no harm.

local log = KEYS[5]
local seen, ttl = whole(ARGV[1]), whole(ARGV[4])
if not (log and seen and whole(ARGV[2]) and whole(ARGV[3]) and ttl) or #KEYS ~= 5 or #ARGV ~= 4 then
  return fail('ARGS', 'these are not the arguments of an erasure')
end

-- The last event of the log. That of a marker is the one before it: who has had that one has missed nothing.
local function last_event()
  local entry = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  if not entry then
    return nil
  end
  local fields = {}
  for i = 1, #entry[2], 2 do
    fields[entry[2][i]] = entry[2][i + 1]
  end
  return fields.payload and entry[1] or fields.prev or entry[1]
end

-- Returns nil or an error reply.
local function leave_marker(prev)
  local id = id_of(seq + 1)
  local added = redis.pcall('XADD', log, id, 'prev', prev)
  if type(added) == 'table' and string.find(added.err, 'equal or smaller', 1, true) then
    local failed = outgrow(log)
    if failed then
      return failed
    end
    id = id_of(seq + 1)
    added = redis.pcall('XADD', log, id, 'prev', prev)
  end
  return type(added) == 'table' and added or nil
end

local failed = check_epoch(seen, function()
  return { broadcast_log, log }
end)
if failed then
  return failed
end
local prev = last_event()
if prev then
  -- Before anything that takes memory: once a script has written, Redis refuses it none, and erasing frees some.
  redis.call('PEXPIRE', log, text(ttl + HOUR))
  failed = leave_marker(prev)
  if failed then
    return failed
  end
  redis.call('XTRIM', log, 'MAXLEN', 1)
end
seq = seq + 1
store_head(id_of(seq), ttl)
return { 'ok', epoch, seq, id_of(seq), 0 }
