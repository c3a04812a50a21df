"""The steps of the cache's protocol that must not be seen half done, as Lua for Redis.

KEYS: the owner's generation and mark. ARGV of each: what to add to the server's run_id as the epoch, a fresh
generation, its lifetime in seconds; then what the script names. A mark reads ``writer:end of lease``, a generation
``epoch-fresh@moment``, with nothing behind the @ where the moment of the last write is not known.
"""

_PRELUDE = """
local generation, mark = KEYS[1], KEYS[2]
local epoch = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') .. ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('GET', mark)
local holder, lease_end = string.match(held or '', '^(%x+):(%d+)$')
local function replace(moment)
  redis.call('SET', generation, epoch .. '-' .. ARGV[2] .. '@' .. moment, 'EX', ARGV[3])
end
local function current()
  local kept = redis.call('GET', generation)
  return kept and string.sub(kept, 1, #epoch + 1) == epoch .. '-' and kept
end
"""

# The generation, or nothing while a write is going on; a mark past its lease is settled first.
READ = f"""{_PRELUDE}
if held then
  if lease_end and now < tonumber(lease_end) then return false end
  replace('')
  redis.call('DEL', mark)
end
if not current() then replace('') end
return current()
"""

# The generation once the mark is this writer's, nothing while it is another's. ARGV: ..., writer, lease in
# milliseconds. Whoever left a mark behind may have written after what the generation says.
BEGIN = f"""{_PRELUDE}
if holder and holder ~= ARGV[4] and now < tonumber(lease_end) then return false end
redis.call('SET', mark, ARGV[4] .. ':' .. string.format('%d', now + ARGV[5]))
if held or not current() then replace('') end
return current()
"""

# A new generation, the copy of the old one dropped, and then the mark removed if it is this writer's. Only then is
# this writer's moment the last. ARGV: ..., writer, what is before and behind a generation in a copy's key, moment.
END = f"""{_PRELUDE}
local old = redis.call('GET', generation)
replace(holder == ARGV[4] and ARGV[7] or '')
if old then redis.call('UNLINK', ARGV[5] .. old .. ARGV[6]) end
if holder == ARGV[4] then redis.call('DEL', mark) end
return 1
"""
