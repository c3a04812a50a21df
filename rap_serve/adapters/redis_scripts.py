"""The steps of the cache's protocol that must not be seen half done, as Lua for Redis.

KEYS: the owner's generation and mark, and since when this Redis knows all marks. ARGV of each: what to add to the
server's run_id as the epoch, a fresh generation, its lifetime in seconds, for how long in milliseconds a mark may be
missing after Redis lost its state; then what the script names. A mark reads ``write:end of lease``, where a write
begins with its gateway's GATEWAY_DIGITS; a generation ``epoch-fresh@moment``, with nothing behind the @ where the
moment of the last write is not known.
"""

GATEWAY_DIGITS = 24

_PRELUDE = """
local generation, mark = KEYS[1], KEYS[2]
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local epoch = run .. ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('GET', mark)
local holder, lease_end = string.match(held or '', '^(%x+):(%d+)$')
local since = string.match(redis.call('GET', KEYS[3]) or '', '^' .. run .. ':(%d+)$')
if not since then
  since = now
  redis.call('SET', KEYS[3], run .. ':' .. string.format('%d', now))
end
local sure = now - since >= tonumber(ARGV[4])
local function replace(moment)
  redis.call('SET', generation, epoch .. '-' .. ARGV[2] .. '@' .. moment, 'EX', ARGV[3])
end
local function current()
  local kept = redis.call('GET', generation)
  return kept and string.sub(kept, 1, #epoch + 1) == epoch .. '-' and kept
end
"""

# The generation, or nothing while a write is going on or may be; a mark past its lease is settled first.
READ = f"""{_PRELUDE}
if held then
  if lease_end and now < tonumber(lease_end) then return false end
  replace('')
  redis.call('DEL', mark)
end
if not current() then replace('') end
return sure and current()
"""

# The generation once the mark is this write's, and whether no other can be under way; nothing while the mark is another
# gateway's. ARGV: ..., the write, lease in milliseconds. Whoever left a mark behind may have written after what the
# generation says.
BEGIN = f"""{_PRELUDE}
if holder and string.sub(holder, 1, {GATEWAY_DIGITS}) ~= string.sub(ARGV[5], 1, {GATEWAY_DIGITS})
    and now < tonumber(lease_end) then return false end
redis.call('SET', mark, ARGV[5] .. ':' .. string.format('%d', now + ARGV[6]))
if held or not current() then replace('') end
return {{current(), sure and 1 or 0}}
"""

# A new generation, the copy of the old one dropped, and then the mark removed if it is this write's. Only then, and if
# no mark was lost, is this write's moment the last. ARGV: ..., the write, what is before and behind a generation in a
# copy's key, moment.
END = f"""{_PRELUDE}
local old = redis.call('GET', generation)
replace(holder == ARGV[5] and sure and ARGV[8] or '')
if old then redis.call('UNLINK', ARGV[6] .. old .. ARGV[7]) end
if holder == ARGV[5] then redis.call('DEL', mark) end
return 1
"""
