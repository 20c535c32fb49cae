-- What registering, leaving, reaping and disconnecting share: how an identity stands in ws:conns, how it goes away, and
-- what ws:lifecycle tells of it. In each of them KEYS 1 is ws:conns, 2 ws:lifecycle, 3 ws:lifecycle:due, and ARGV 1 is
-- PRESENCE_GRACE in ms, or '' where LIFECYCLE is off: then nothing is written to these two.

-- Before Redis 7 a script that has scanned may write only if its effects are replicated.
if redis.replicate_commands then
  redis.replicate_commands()
end

local LOG_OUTLIVES_AWAY = 60000

-- Of the stream's entries about as many are kept.
local LIFECYCLE_EVENTS = '100000'

local conns_key, lifecycle_key, due_key = KEYS[1], KEYS[2], KEYS[3]
local grace_ms = tonumber(ARGV[1] or '')
local prefix = string.match(conns_key or '', '^(.*)conns$')

local function text(number)
  return string.format('%d', number)
end

local function fail(what)
  return redis.error_reply('BELFRY_ARGS ' .. what)
end

-- An entry of ws:conns or ws:away: its user, node and gen. nil if there is none, or one that belfry has not written.
local function read(entry)
  local ok, e = pcall(cjson.decode, entry or '')
  if not ok or type(e) ~= 'table' or type(e.user) ~= 'string' or type(e.node) ~= 'string' or type(e.gen) ~= 'number' then
    return nil
  end
  return e
end

local function milliseconds()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function tell(event, ...)
  redis.call('XADD', lifecycle_key, 'MAXLEN', '~', LIFECYCLE_EVENTS, '*', 'event', event, ...)
end

-- A socket has come. Its user is online from the first one on; one who was waited for has never been offline.
local function come(id, user, node, gen, user_key)
  local first = grace_ms and redis.call('EXISTS', user_key) == 0
  redis.call('SADD', user_key, id)
  if grace_ms then
    tell('connected', 'connection_id', id, 'user', user, 'node', node, 'gen', text(gen))
  end
  if first and redis.call('ZREM', due_key, user) == 0 then
    tell('online', 'user', user)
  end
end

-- The socket of an identity that is known has gone; without a duration it is reckoned by Redis' clock.
local function tell_gone(id, known, code, duration)
  if grace_ms then
    duration = duration or text(math.max(0, milliseconds() - (tonumber(known.since) or 0)))
    tell('disconnected', 'connection_id', id, 'user', known.user, 'node', known.node, 'gen', text(known.gen), 'code', code,
      'duration_ms', duration)
  end
end

-- Its user is offline after a while without any, which offline.lua works off.
local function go(id, known, user_key, code, duration)
  redis.call('SREM', user_key, id)
  tell_gone(id, known, code, duration)
  if not grace_ms or redis.call('EXISTS', user_key) == 1 then
    return
  elseif grace_ms == 0 then
    tell('offline', 'user', known.user)
  else
    redis.call('ZADD', due_key, text(milliseconds() + grace_ms), known.user)
  end
end

-- The first write is a removal, which Redis allows also where its memory is full, and then lets pass what follows: an
-- identity that goes away takes as much room as it gives back.
local function go_away(id, known, entry, away_key, log_key, user_key, away_ms, code, duration)
  redis.call('HDEL', conns_key, id)
  go(id, known, user_key, code, duration)
  redis.call('SET', away_key, entry, 'PX', text(away_ms))
  redis.call('PEXPIRE', log_key, text(away_ms + LOG_OUTLIVES_AWAY))
end

-- A disconnected identity stands in ws:away as -<gen> <reason>, which is no JSON: nobody can resume it, and a node that
-- has not heard the order is told again when it says what it holds. Returns gen and reason, or nil.
local function ended(entry)
  local gen, reason = string.match(entry or '', '^%-(%d+) (.*)$')
  return tonumber(gen), reason
end

local function order_disconnect(node, id, gen, reason)
  redis.call('PUBLISH', prefix .. 'node:' .. node, 'disconnect ' .. id .. ' ' .. text(gen) .. ' ' .. reason)
end

