-- Sends the requests of its standard input, one after the other, and says what became of them. wrk.mjs runs it.

local requests, next_one = {}, 0

function init()
  for text in io.read('*a'):gmatch('%Z+') do requests[#requests + 1] = text end
end

function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end

function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '\n{"requests":%d,"microseconds":%d,"refused":%d,"failed":%d}\n',
    summary.requests, summary.duration, errors.status, failed
  ))
end
