# bunny with confirms: one message at a time, mandatory, published again under its id until a deadline.
#
# bunny's own recovery is off: it would go on with a new connection and forget what was not confirmed on the old one.
require "bunny"
require "json"

DEADLINE_S = 20

# bunny tells a lost connection by raising in the thread that opened it, whatever that is doing: here it is noted.
class Lost
  attr_reader :why

  def initialize = @opener = Thread.current
  def raise(*why) = Thread.current == @opener ? super : @why = why
end

class Publisher
  def initialize(url)
    @url = url
  end

  # The outcome, and what there is to be said of it.
  def publish(request)
    outcome = "failed"
    deadline = now + DEADLINE_S
    begin
      channel = open
      outcome = "unknown" # from the first byte on, until the broker has answered
      @returned = false
      tag = channel.next_publish_seq_no
      @exchanges[request["exchange"]].publish(
        request["body"], routing_key: request["routing_key"], message_id: request["id"], persistent: true, mandatory: true
      )
      # Not by wait_for_confirms, which has no deadline and does not notice that the connection is lost.
      sleep 0.0005 until (settled = channel.unconfirmed_set.empty?) || !sound? || now > deadline
      raise IOError, "no confirm: #{@lost.why}" unless settled
      return ["nacked", "the broker could not take it"] if channel.nacked_set.include?(tag)

      @returned ? ["returned", "no queue is bound"] : ["confirmed", ""]
    rescue Bunny::Exception, SystemCallError, IOError, Timeout::Error => e
      close
      return [outcome, e.inspect] if now > deadline

      sleep 0.05
      retry
    end
  end

  def close
    connection, @connection = @connection, nil
    connection&.transport&.close # without a word to the broker: the link may be silent
  rescue SystemCallError, IOError
    nil
  end

  private

  def sound? = @connection&.open? && @channel&.open? && @lost.why.nil?

  def open
    return @channel if sound?

    close
    @lost = Lost.new
    @connection = Bunny.new(@url, automatically_recover: false, recover_from_connection_close: false, heartbeat: 5,
                                  connection_timeout: 5, continuation_timeout: 5000, log_level: Logger::FATAL,
                                  session_error_handler: @lost)
    @connection.start
    @channel = @connection.create_channel
    @channel.confirm_select
    @exchanges = Hash.new do |known, name|
      known[name] = Bunny::Exchange.new(@channel, :topic, name, no_declare: true).tap do |exchange|
        exchange.on_return { @returned = true }
      end
    end
    @channel
  end

  def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

publisher = Publisher.new(ENV.fetch("RABBITMQ_URL"))
$stdout.sync = true
$stdin.each_line do |line|
  request = JSON.parse(line)
  break if request["op"] == "close"

  outcome, detail = publisher.publish(request)
  puts JSON.generate(id: request["id"], outcome: outcome, detail: detail)
end
publisher.close
