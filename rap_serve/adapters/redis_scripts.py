"""The steps of the cache's protocol that must not be seen half done, as Lua for Redis.

KEYS: the owner's generation and mark. ARGV of each: what to add to the server's run_id as the epoch, a fresh
generation, its lifetime in seconds; then what the script names. A mark reads ``writer:end of lease``.
"""

_PRELUDE = """
local generation, mark = KEYS[1], KEYS[2]
local epoch = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') .. ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('GET', mark)
local holder, lease_end = string.match(held or '', '^(%x+):(%d+)$')
local function replace()
  redis.call('SET', generation, epoch .. '-' .. ARGV[2], 'EX', ARGV[3])
end
"""

# The generation, or nothing while a write is going on; a mark past its lease is settled first.
READ = f"""{_PRELUDE}
if held then
  if lease_end and now < tonumber(lease_end) then return false end
  replace()
  redis.call('DEL', mark)
end
local current = redis.call('GET', generation)
if not current or string.sub(current, 1, #epoch + 1) ~= epoch .. '-' then
  replace()
  current = redis.call('GET', generation)
end
return current
"""

# 1 once the mark is this writer's, 0 while it is another's. ARGV: ..., writer, lease in milliseconds.
BEGIN = f"""{_PRELUDE}
if holder and holder ~= ARGV[4] and now < tonumber(lease_end) then return 0 end
redis.call('SET', mark, ARGV[4] .. ':' .. string.format('%d', now + ARGV[5]))
return 1
"""

# A new generation, the copy of the old one dropped, and then the mark removed if it is this writer's.
END = f"""{_PRELUDE}
local old = redis.call('GET', generation)
replace()
if old then redis.call('UNLINK', ARGV[5] .. old .. ARGV[6]) end
if holder == ARGV[4] then redis.call('DEL', mark) end
return 1
"""
