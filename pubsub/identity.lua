-- What registering, leaving, reaping and disconnecting share: how an identity stands in ws:conns, and how it goes away. In
-- each of them KEYS 1 is ws:conns.

-- Before Redis 7 a script that has scanned may write only if its effects are replicated.
if redis.replicate_commands then
  redis.replicate_commands()
end

local LOG_OUTLIVES_AWAY = 60000

local conns_key = KEYS[1]
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

-- The first write is a removal, which Redis allows also where its memory is full, and then lets pass what follows: an
-- identity that goes away takes as much room as it gives back.
local function go_away(id, entry, away_key, log_key, user_key, away_ms)
  redis.call('HDEL', conns_key, id)
  redis.call('SREM', user_key, id)
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

