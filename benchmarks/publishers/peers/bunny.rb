# Bunny, which the gem durable-websockets publishes with: a channel for each caller in (c), and in (b) a
# wait_for_confirms after each thousand, as it knows no callback for a single confirm. Turns as common.py says.
require "bunny"
require "json"
require "securerandom"

URL, QUEUE, WORK = ARGV
BODY = "x" * 200
WINDOW = 1000
CALLERS = 8

def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

def cpu = Process.clock_gettime(Process::CLOCK_PROCESS_CPUTIME_ID)

def publish(channel)
  channel.basic_publish(BODY, "", QUEUE, mandatory: true, persistent: true, message_id: SecureRandom.hex,
                                         content_type: "application/octet-stream")
end

def turn(channels, warm_up, seconds)
  warm_until = now + warm_up
  ends = warm_until + seconds
  counts = [0] * channels.size
  before = began = cpu_before = nil
  lock = Mutex.new
  warm = -> { lock.synchronize { before, cpu_before, began = counts.sum, cpu, now if began.nil? } }
  threads = channels.each_with_index.map do |channel, place|
    Thread.new do
      while now < ends
        warm.call if began.nil? && now >= warm_until
        run = WORK == "b" ? WINDOW : 1
        run.times { publish(channel) }
        raise "not confirmed" unless channel.wait_for_confirms
        counts[place] += run
      end
    end
  end
  threads.each(&:join)
  warm.call # if the last batch took longer than the turn
  puts JSON.generate(seconds: now - began, messages: counts.sum - before, cpu_s: cpu - cpu_before)
end

$stdout.sync = true
connection = Bunny.new(URL).start
channels = Array.new(WORK == "c" ? CALLERS : 1) { connection.create_channel.tap(&:confirm_select) }
puts "ready"
$stdin.each_line { |line| turn(channels, *line.split.map(&:to_f)) }
connection.close
