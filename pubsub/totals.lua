-- The cluster's counts: the sum of all leases that live. It reads only.
-- KEYS 1 ws:nodes. ARGV 1 what the lease keys begin with (ws:node:), since only ws:nodes knows which there are.
-- Answer: sum of local, sum of dead, number of nodes.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local connections, dead, nodes = 0, 0, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], string.format('%d', now), '+inf')) do
  local lease = redis.call('HMGET', ARGV[1] .. id, 'local', 'dead')
  if lease[1] then
    connections, dead, nodes = connections + tonumber(lease[1]), dead + tonumber(lease[2] or 0), nodes + 1
  end
end
return { connections, dead, nodes }
