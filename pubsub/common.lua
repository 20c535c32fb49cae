-- What the scripts that write share: the head of the order, opening epochs, noting minutes, the floor. It stands in
-- front of each of them, so the first four KEYS are the same in all.

-- Before Redis 7 a script that has asked for the time may write only if its effects are replicated.
if redis.replicate_commands then
  redis.replicate_commands()
end

local SCHEMA = 1
local GREATEST = 9007199254740991 -- beyond 2^53 - 1 Lua's numbers skip
local MINUTE = 60000
local HOUR = 3600000

local head_key, epochs_key, minutes_key, broadcast_log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local function text(number)
  return string.format('%d', number)
end

-- A decimal number without a sign as a number; nil if it is none or too large.
local function whole(s)
  local number = s and string.find(s, '^%d+$') and tonumber(s)
  return number and number <= GREATEST and number or nil
end

local function fail(code, what)
  return redis.error_reply('BELFRY_' .. code .. ' ' .. what)
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local stored = redis.call('HMGET', head_key, 'schema', 'epoch', 'seq', 'replid', 'floor', 'last', 'minute')
local epoch, seq, floor = whole(stored[2]), whole(stored[3]), whole(stored[5]) or 0
local last = stored[6] or '0-0' -- id of the last broadcast that was logged
local minute = whole(stored[7]) -- the last one noted
if not seq then
  epoch = nil
end
if tonumber(stored[1] or SCHEMA) > SCHEMA then
  return fail('SCHEMA', stored[1])
end

local function id_of(number)
  return text(epoch) .. '-' .. text(number)
end

-- The id of a log's last entry, or 0-0. A key that is no log is left to the XADD that follows to complain of.
local function last_of(log)
  local entry = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
  return entry and entry[1] or '0-0'
end

local function parts(id)
  local e, s = string.match(id, '^(%d+)-(%d+)$')
  return tonumber(e), tonumber(s)
end

-- The identity of this Redis' history: it changes when a replica is promoted and when Redis starts without its data.
-- Returns an error reply in its place where there is none to be had.
local function replication_id()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' then
    return nil, fail('INFO', 'INFO is refused inside scripts: the Redis user needs the ACL rule +info')
  elseif string.find(info, 'min_slaves_good_slaves:0', 1, true) then
    -- Only the line of a server with min-replicas-to-write. Before Redis 7 scripts are not held to that setting.
    return nil, redis.error_reply('NOREPLICAS Not enough good replicas to write.')
  end
  return string.match(info, 'master_replid:(%x+)')
end

-- Opens an epoch that is at least `least`. The old one's end is noted: up to there its positions stay good.
local function open_epoch(least, replid)
  local opened = math.max((epoch or 0) + 1, least, now)
  if opened >= GREATEST then
    return fail('LOG', 'epoch ' .. text(opened) .. ' is too large')
  end
  if epoch then
    redis.call('HSET', epochs_key, text(epoch), text(seq))
  end
  epoch = opened
  redis.call('HSET', head_key, 'schema', SCHEMA, 'epoch', text(epoch), 'seq', text(seq), 'replid', replid, 'floor',
    text(floor), 'last', last)
end

-- Somebody has removed ws:head. What is left tells a lower bound of seq only, so everything before counts as gone.
local function start_over(greatest)
  for _, ended in ipairs(redis.call('HVALS', epochs_key)) do
    greatest = math.max(greatest, tonumber(ended))
  end
  seq = greatest > 0 and greatest + 1 or 0
  floor, last, minute = seq, last_of(broadcast_log), nil
end

-- Opens a new epoch where it must: another Redis history than that of ws:head, no ws:head, or a caller who has seen a
-- greater epoch, which this Redis has then lost. It has to be above those of the logs. Returns an error reply, or nil.
local function check_epoch(seen, list_logs)
  local replid, refused = replication_id()
  if not replid then
    return refused
  end
  if epoch and replid == stored[4] and seen <= epoch then
    return nil
  end
  local least, greatest, lost = seen + 1, 0, not epoch
  for _, log in ipairs(list_logs()) do
    local e, s = parts(last_of(log))
    least, greatest = math.max(least, e + 1), math.max(greatest, s)
  end
  if lost then
    start_over(greatest)
  end
  local failed = open_epoch(least, replid)
  if lost and not failed then
    redis.call('DEL', minutes_key)
  end
  stored[4] = replid
  return failed
end

-- A log already holds greater ids, also where its last entries were deleted: above the greatest a new epoch begins.
local function outgrow(log)
  local info = redis.pcall('XINFO', 'STREAM', log)
  local least = 0
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      least = parts(info[i + 1]) + 1
    end
  end
  return open_epoch(least, stored[4])
end

-- Notes the first id of each minute. Where the clock went back, what was noted for minutes that are still to come
-- counts as of now: it lives longer, never shorter.
local function note_minute(first_id)
  local current = math.floor(now / MINUTE)
  if current == minute then
    return false
  end
  if minute and current < minute then
    local ahead = redis.call('ZRANGEBYSCORE', minutes_key, '(' .. text(current), '+inf', 'LIMIT', 0, 1)[1]
    redis.call('ZREMRANGEBYSCORE', minutes_key, '(' .. text(current), '+inf')
    first_id = ahead or first_id
  end
  if redis.call('ZCOUNT', minutes_key, text(current), text(current)) == 0 then
    redis.call('ZADD', minutes_key, text(current), first_id)
  end
  minute = current
  return true
end

-- Drops the broadcasts before the id `first`.
local function trim(first)
  if redis.REDIS_VERSION_NUM then
    redis.call('XTRIM', broadcast_log, 'MINID', first)
    return
  end
  -- A Redis without that constant is older than 7.0, and before 6.2.7 MINID deletes greater ids too (redis#9410).
  local step, found = 100
  repeat
    found = #redis.call('XRANGE', broadcast_log, '-', '(' .. first, 'COUNT', step)
    if found > 0 then
      redis.call('XTRIM', broadcast_log, 'MAXLEN', redis.call('XLEN', broadcast_log) - found)
    end
  until found < step
end

-- The floor is the last seq that may be gone. A minute is kept until its last moment is `ttl` old, so that no event
-- goes early. What ended at or below the floor is dropped: minutes, epochs, the broadcast log's entries. Returns the
-- floor as a position, in the epoch that it belongs to.
local function raise_floor(ttl)
  local oldest = text(math.floor((now - ttl) / MINUTE))
  local first = redis.call('ZRANGEBYSCORE', minutes_key, oldest, '+inf', 'LIMIT', 0, 1)[1] or id_of(seq + 1)
  local _, first_seq = parts(first)
  floor = math.max(floor, first_seq - 1)
  redis.call('ZREMRANGEBYSCORE', minutes_key, '-inf', '(' .. oldest)
  trim(first)
  local floor_epoch, ended = epoch, redis.call('HGETALL', epochs_key)
  for i = 1, #ended, 2 do
    if tonumber(ended[i + 1]) < floor then
      redis.call('HDEL', epochs_key, ended[i])
    else
      floor_epoch = math.min(floor_epoch, tonumber(ended[i]))
    end
  end
  return text(floor_epoch) .. '-' .. text(floor)
end

-- Keeps what a script that gives ids has changed; `first` is the first of those that it gave.
local function store_head(first, ttl)
  if note_minute(first) then
    raise_floor(ttl)
    redis.call('HSET', head_key, 'seq', text(seq), 'last', last, 'minute', text(minute), 'floor', text(floor))
  else
    redis.call('HSET', head_key, 'seq', text(seq), 'last', last)
  end
end

