-- Works off the users who have been away for PRESENCE_GRACE: whoever has no connection by now is told offline, by whichever
-- worker comes first. identity.lua stands in front of it.
--
-- KEYS 1 to 3 as there. ARGV 1 as there, 2 how many to work off in this step.
-- Answer: how many were told, and in how many ms the next is due; -1: there is none.

local count = tonumber(ARGV[2])
if not prefix or #KEYS ~= 3 or not grace_ms or not count then
  return fail('these are not the arguments of this step')
end

-- A removal comes first again, so that it goes on where Redis' memory is full.
local now, told = milliseconds(), 0
for _, user in ipairs(redis.call('ZRANGEBYSCORE', due_key, '-inf', text(now), 'LIMIT', 0, text(count))) do
  redis.call('ZREM', due_key, user)
  if redis.call('EXISTS', prefix .. 'user:' .. user .. ':conns') == 0 then
    tell('offline', 'user', user)
    told = told + 1
  end
end

local next = redis.call('ZRANGEBYSCORE', due_key, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
return { told, next and math.max(0, tonumber(next) - now) or -1 }
