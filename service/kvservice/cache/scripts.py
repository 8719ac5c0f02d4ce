"""What runs inside a shard, in Lua.

Versions are compared as two numbers and envelopes byte by byte: Lua compares strings by the server's locale.

A shard's epoch begins when it is found without one: it is new, was flushed or restarted. What was read from the store
before an epoch began is not let in: a newer write may have been there, and is gone. The feed lives in one epoch, too,
and begins with an empty entry; its ids are epoch-1, epoch-2 and so on, so that a gap shows.
"""

_EPOCH = """
local function begin_epoch()
  local now = redis.call('TIME')
  local epoch = now[1] .. string.format('%06d', now[2])
  redis.call('SET', KEYS[2], epoch)
  redis.call('UNLINK', KEYS[3])
  redis.call('XADD', KEYS[3], epoch .. '-1', 'entry', '', 'envelope', '')
  return epoch
end
local epoch = redis.call('GET', KEYS[2]) or begin_epoch()
"""

# KEYS: lease, epoch, feed. ARGV: milliseconds. -> {1 if it is had, epoch}
LEASE = f"""{_EPOCH}
local had = redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[1])
return {{had and 1 or 0, epoch}}
"""

# KEYS: entry, epoch, feed. ARGV: envelope, trailer, milliseconds to keep it, the epoch in which the store was asked
# ('': it was not), 1 to announce, bytes that the feed may have. -> {set, renewed, kept or late; epoch}
SET_IF_NEWER = f"""{_EPOCH}
local envelope, trailer, keep_ms, asked_in = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local function version(data)
  local high, low = struct.unpack('>I4I4', data)
  return high, low
end

local function is_larger(one, other)
  for at = 1, math.min(#one, #other) do
    local a, b = string.byte(one, at), string.byte(other, at)
    if a ~= b then return a > b end
  end
  return #one > #other
end

local function add_to_feed()
  return redis.call('XADD', KEYS[3], 'NOMKSTREAM', epoch .. '-*', 'entry', KEYS[1], 'envelope', envelope)
end

local function announce()
  if not add_to_feed() then  -- evicted
    epoch = begin_epoch()
    add_to_feed()
  end
  if redis.call('MEMORY', 'USAGE', KEYS[3]) > tonumber(ARGV[6]) then
    redis.call('XTRIM', KEYS[3], 'MAXLEN', math.floor(redis.call('XLEN', KEYS[3]) * 0.9))
  end
end

if asked_in ~= '' and asked_in ~= epoch then return {{'late', epoch}} end
local outcome, announced = 'set', '\\0'
local there = redis.call('GETRANGE', KEYS[1], 0, 7)
if #there == 8 then
  local there_high, there_low = version(there)
  local high, low = version(envelope)
  if there_high > high or (there_high == high and there_low > low) then return {{'kept', epoch}} end
  if there_high == high and there_low == low then
    there = redis.call('GET', KEYS[1])
    local there_envelope = string.sub(there, 1, -18)
    if there_envelope == envelope then
      outcome, announced = 'renewed', string.sub(there, -1)
    elseif is_larger(there_envelope, envelope) then
      return {{'kept', epoch}}
    end
  end
end
if ARGV[5] == '1' and announced ~= '\\1' then
  announce()
  announced = '\\1'
end
redis.call('SET', KEYS[1], envelope .. trailer .. announced, 'PX', keep_ms)
return {{outcome, epoch}}
"""

# KEYS: feed, epoch. ARGV: id to go on after, the most entries, bytes after which it is enough.
# -> {epoch or nil, entries}
READ_FEED = """
local after, entries, bytes = ARGV[1], {}, 0
while #entries < tonumber(ARGV[2]) and bytes < tonumber(ARGV[3]) do
  local some = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', math.min(16, ARGV[2] - #entries))
  if #some == 0 then break end
  for _, entry in ipairs(some) do
    entries[#entries + 1] = entry
    bytes = bytes + #entry[2][4]
    after = entry[1]
  end
end
return {redis.call('GET', KEYS[2]), entries}
"""
