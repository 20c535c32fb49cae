-- Stores how far users have acknowledged. A cursor never goes back, whoever writes it, and never past the head.
--
-- KEYS 1 ws:head; then ws:cursor:{user} of each cursor, which is a hash by the cursors' names.
-- ARGV 1 how long a user's cursors live after their last change, in ms; then of each cursor: its name, a position.
-- Answer: how many were changed.

-- A user's devices. Beyond, the cursor that is furthest behind gives way: names are the clients' to choose.
local NAMES_MAX = 100

local function parts(position)
  local epoch, seq = string.match(position or '', '^(%d+)-(%d+)$')
  return tonumber(epoch) or 0, tonumber(seq) or 0
end

local function is_after(a, b)
  local a_epoch, a_seq = parts(a)
  local b_epoch, b_seq = parts(b)
  return a_epoch > b_epoch or a_epoch == b_epoch and a_seq > b_seq
end

local function make_room(key)
  local all, least = redis.call('HGETALL', key), 1
  if #all < 2 * NAMES_MAX then
    return
  end
  for i = 3, #all, 2 do
    if is_after(all[least + 1], all[i + 1]) then
      least = i
    end
  end
  redis.call('HDEL', key, all[least])
end

local head = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local head_position = (head[1] or '') .. '-' .. (head[2] or '')

local function store(key, name, position)
  local stored = redis.pcall('HGET', key, name)
  -- A key of another kind is not ours: it must not keep the others from being stored.
  if type(stored) == 'table' or is_after(position, head_position) or not is_after(position, stored or '0-0') then
    return 0
  end
  if not stored then
    make_room(key)
  end
  redis.call('HSET', key, name, position)
  redis.call('PEXPIRE', key, ARGV[1])
  return 1
end

if #KEYS < 2 or #ARGV ~= 1 + 2 * (#KEYS - 1) or not string.find(ARGV[1], '^%d+$') then
  return redis.error_reply('BELFRY_ARGS these are not the arguments of cursors')
end
local changed = 0
for i = 2, #KEYS do
  changed = changed + store(KEYS[i], ARGV[2 * i - 2], ARGV[2 * i - 1])
end
return changed
