-- The publishing script; publish_usage.lua explains its arguments, common.lua stands in front of it.

local EVENTS_MAX, AUDIENCES_MAX, PAYLOAD_MAX = 1000, 500, 1024 * 1024 + 2048
local FIRST_KEY, FIRST_ARGUMENT = 7, 8

local prefix = string.match(head_key or '', '^(.*)head$')

-- A log outlives ws:away by that much, so that an event to somebody who comes back at the last moment is still there.
local CONNECTION_EVENTS, LOG_OUTLIVES_AWAY = '100', 60000

-- All that the script knows of an audience: its channel, its log and how much of that is kept; and of one that comes and
-- goes, whether it is there. `keys` are those it takes from KEYS, the log first.
local audience_kinds = {
  broadcast = { channel = 'broadcast', keys = {}, limit = 'broadcast' },
  user = { channel = 'user:', keys = { 'log:user:' }, limit = 'user' },
  connection = { channel = 'connection:', keys = { 'log:conn:', 'away:' }, limit = 'connection', comes_and_goes = true },
}

-- Settings that the caller leaves out are those of the last canary, or belfry's defaults while there is none.
local function read_settings()
  local given = { ARGV[2], ARGV[3], ARGV[4] }
  if given[1] == '' or given[2] == '' or given[3] == '' then
    local replay = redis.call('HGET', head_key, 'replay') or '10000 500 86400000'
    local known = { string.match(replay, '^(%d+) (%d+) (%d+)$') }
    for i = 1, 3 do
      given[i] = given[i] == '' and known[i] or given[i]
    end
  end
  local broadcast, user, ttl = whole(given[1]), whole(given[2]), whole(given[3])
  if not (broadcast and user and ttl) then
    return nil
  end
  -- An empty log could not tell that something is missing: its last entry's `prev` does.
  return {
    broadcast = text(math.max(broadcast, 1)),
    user = text(math.max(user, 1)),
    connection = CONNECTION_EVENTS,
    ttl = ttl,
    log_lives = text(ttl + HOUR),
  }
end

local function check_fixed_keys()
  local names = { 'head', 'epochs', 'minutes', 'log:broadcast', 'conns' }
  for i, name in ipairs(names) do
    if not prefix or KEYS[i] ~= prefix .. name then
      return 'KEYS[' .. i .. '] has to be ' .. (prefix or 'ws:') .. name
    end
  end
  local idem = prefix .. 'idem:'
  if string.sub(KEYS[6] or '', 1, #idem) ~= idem then
    return 'KEYS[6] has to begin with ' .. idem
  end
end

-- Reads an audience at ARGV[a] whose keys begin at KEYS[k]. Returns it, the next k and nil, or what is wrong last.
local function read_audience(a, k)
  local kind, id = audience_kinds[ARGV[a] or ''], ARGV[a + 1]
  if not kind then
    return nil, k, 'ARGV[' .. a .. '] has to be broadcast, user or connection'
  end
  if not id or (id == '') ~= (#kind.keys == 0) then
    return nil, k, 'ARGV[' .. a + 1 .. '] has to be an id, or empty for broadcast'
  end
  for _, name in ipairs(kind.keys) do
    if KEYS[k] ~= prefix .. name .. id then
      return nil, k, 'KEYS[' .. k .. '] has to be ' .. prefix .. name .. id
    end
    k = k + 1
  end
  return {
    channel = prefix .. kind.channel .. id,
    log = #kind.keys == 0 and broadcast_log or KEYS[k - #kind.keys],
    limit = kind.limit,
    coming = kind.comes_and_goes and id,
    away = kind.comes_and_goes and KEYS[k - 1],
  }, k
end

-- How long the audience's log lives from now on, in ms; nil: there is nobody of that name, here or away.
local function lives(audience, settings)
  if not audience.coming or redis.call('HEXISTS', KEYS[5], audience.coming) == 1 then
    return settings.log_lives
  end
  -- What is kept there of an identity that an operator has ended is no JSON.
  if string.sub(redis.call('GET', audience.away) or '', 1, 1) ~= '{' then
    return nil
  end
  local left = redis.call('PTTL', audience.away)
  return left > 0 and text(left + LOG_OUTLIVES_AWAY) or nil
end

-- Leaves out the audiences that are not there. Returns the events of which some are left.
local function known_of(events, settings)
  local known = {}
  for _, event in ipairs(events) do
    local there = {}
    for _, audience in ipairs(event.audiences) do
      audience.lives = lives(audience, settings)
      if audience.lives then
        there[#there + 1] = audience
      end
    end
    event.audiences = there
    if #there > 0 then
      known[#known + 1] = event
    end
  end
  return known
end

-- The audiences of an event from ARGV[a] on, each once, broadcast first: a worker that has it from there skips it on
-- the channels that follow. Returns them, the next a and k, or what is wrong last.
local function read_audiences(a, k, count)
  local audiences, seen = {}, {}
  for _ = 1, count do
    local audience, next_k, wrong = read_audience(a, k)
    if wrong then
      return nil, a, k, wrong
    end
    if not seen[audience.channel] then
      seen[audience.channel] = true
      table.insert(audiences, audience.log == broadcast_log and 1 or #audiences + 1, audience)
    end
    a, k = a + 2, next_k
  end
  return audiences, a, k
end

-- An event at ARGV[a], its audiences' keys from KEYS[k] on. Returns it, the next a and k, or what is wrong last.
local function read_event(a, k)
  local head, tail, replay, count = ARGV[a], ARGV[a + 1], ARGV[a + 2], whole(ARGV[a + 3])
  if not head or not string.find(head, '^ {"type":"[^"]*","event_id":"$') then
    return nil, a, k, 'ARGV[' .. a .. '] has to be of the form  {"type":"…","event_id":" after one space'
  elseif not tail or string.sub(tail, 1, 15) ~= '","timestamp":"' or string.sub(tail, -1) ~= '}' then
    return nil, a, k, 'ARGV[' .. a + 1 .. '] has to be of the form ","timestamp":"…","data":{…}}'
  elseif #head + #tail + 33 > PAYLOAD_MAX then -- an id has at most 33 characters
    return nil, a, k, 'ARGV[' .. a + 1 .. '] is too long'
  elseif replay ~= '1' and replay ~= '0' then
    return nil, a, k, 'ARGV[' .. a + 2 .. '] has to be 1 or 0'
  elseif not count or count < 1 or count > AUDIENCES_MAX then
    return nil, a, k, 'ARGV[' .. a + 3 .. '] has to be 1 to ' .. AUDIENCES_MAX
  end
  local audiences, next_a, next_k, wrong = read_audiences(a + 4, k, count)
  return { head = head, tail = tail, replay = replay == '1', audiences = audiences }, next_a, next_k, wrong
end

-- Everything is read and checked before the first write: a script that fails does not take back what it wrote.
local function read_events()
  local count = whole(ARGV[7])
  if not count or count < 1 or count > EVENTS_MAX then
    return nil, 'ARGV[7] has to be 1 to ' .. EVENTS_MAX
  end
  local events, a, k = {}, FIRST_ARGUMENT, FIRST_KEY
  for i = 1, count do
    local event, next_a, next_k, wrong = read_event(a, k)
    if wrong then
      return nil, wrong
    end
    events[i], a, k = event, next_a, next_k
  end
  if a ~= #ARGV + 1 or k ~= #KEYS + 1 then
    return nil, 'there are more KEYS or ARGV than the events take'
  end
  return events
end

local function read_arguments()
  local wrong = check_fixed_keys()
  if wrong then
    return nil, nil, wrong
  end
  local settings = read_settings()
  if not settings or not whole(ARGV[1]) then
    return nil, nil, 'ARGV[1] to ARGV[4] have to be whole numbers, ARGV[2] to ARGV[4] may be empty'
  end
  local remember = whole(ARGV[6])
  if ARGV[5] ~= '' and (#ARGV[5] > 128 or string.find(ARGV[5], '%s') or not remember or remember < 1) then
    return nil, nil, 'ARGV[5] has to be a fingerprint without white space, ARGV[6] milliseconds'
  end
  local events, wrong_event = read_events()
  return settings, events, wrong_event
end

-- The answer to a request that was made before: a reply, or nil.
local function look_up()
  local found = ARGV[5] ~= '' and redis.call('GET', KEYS[6])
  if not found then
    return nil
  end
  if string.sub(found, 1, #ARGV[5] + 1) ~= ARGV[5] .. ' ' then
    return { 'key_reused', epoch or 0, seq or 0 }
  end
  local reply = { 'again', epoch or 0, seq or 0 }
  for id, receivers in string.gmatch(string.sub(found, #ARGV[5] + 2), '(%d+-%d+) (-?%d+)') do
    reply[#reply + 1] = id
    reply[#reply + 1] = tonumber(receivers)
  end
  return reply
end

local function remember(reply)
  local words = { ARGV[5] }
  for i = 4, #reply do
    words[#words + 1] = type(reply[i]) == 'number' and text(reply[i]) or reply[i]
  end
  redis.call('SET', KEYS[6], table.concat(words, ' '), 'PX', ARGV[6])
end

local function logs_of(events)
  local logs, seen = { broadcast_log }, { [broadcast_log] = true }
  for _, event in ipairs(events) do
    for _, audience in ipairs(event.audiences) do
      if event.replay and not seen[audience.log] then
        seen[audience.log] = true
        logs[#logs + 1] = audience.log
      end
    end
  end
  return logs
end

-- Deletes the entries written after the first `kept`.
local function take_back(written, kept)
  for i = #written, kept + 1, -1 do
    redis.call('XDEL', written[i][1], written[i][2])
    written[i] = nil
  end
end

-- Writes an event to its logs. `written` collects the entries. Returns nil, or Redis' error and the log at fault.
local function append(event, settings, written)
  local id = id_of(seq + 1)
  event.id, event.payload = id, event.head .. id .. event.tail
  for _, audience in ipairs(event.audiences) do
    local log, limit = audience.log, settings[audience.limit]
    if event.replay then
      local prev = log == broadcast_log and last or last_of(log)
      local added = redis.pcall('XADD', log, 'MAXLEN', limit, id, 'payload', event.payload, 'prev', prev)
      if type(added) == 'table' then
        return added, log
      end
      written[#written + 1] = { log, id }
      if log ~= broadcast_log then
        redis.call('PEXPIRE', log, audience.lives)
      end
    end
  end
end

-- Gives the event its id and its place in the logs. Returns nil or an error reply.
local function append_in_order(event, settings, written)
  local before = #written
  for _ = 0, #event.audiences do
    local failed, log = append(event, settings, written)
    if not failed then
      seq = seq + 1
      return nil
    elseif not string.find(failed.err, 'equal or smaller', 1, true) then
      return failed
    end
    take_back(written, before)
    failed = outgrow(log)
    if failed then
      return failed
    end
  end
  return fail('LOG', 'the logs refuse every id')
end

-- All events or none: Redis takes nothing back by itself. Ids that were used stay used, since the logs remember them.
local function append_all(events, settings)
  local written = {}
  for _, event in ipairs(events) do
    local before = #written
    local failed = append_in_order(event, settings, written)
    if failed then
      if #written > 0 then
        take_back(written, 0)
        redis.call('HSET', head_key, 'seq', text(seq + 1))
      end
      return failed
    end
    for i = before + 1, #written do
      last = written[i][1] == broadcast_log and event.id or last
    end
  end
end

local function announce(events, reply)
  for _, event in ipairs(events) do
    local receivers = 0
    for _, audience in ipairs(event.audiences) do
      receivers = receivers + redis.call('PUBLISH', audience.channel, event.payload)
    end
    reply[#reply + 1] = event.id or '0-0'
    reply[#reply + 1] = event.id and receivers or -1
  end
end

local settings, events, wrong = read_arguments()
if wrong then
  return fail('ARGS', wrong)
end
local known = look_up()
if known then
  return known
end
local for_somebody = known_of(events, settings)
local failed = check_epoch(whole(ARGV[1]), function()
  return logs_of(for_somebody)
end) or append_all(for_somebody, settings)
if failed then
  return failed
end
if #for_somebody > 0 then
  store_head(for_somebody[1].id, settings.ttl)
end
local reply = { 'ok', epoch, seq }
announce(events, reply)
if ARGV[5] ~= '' then
  remember(reply)
end
return reply
