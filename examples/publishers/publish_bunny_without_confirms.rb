# bunny as the gem durable-websockets uses it: persistent messages, durable exchanges, and no confirms.
#
# publish returns once the message is in the socket's buffer. What a cut, a restart or a missing queue does to it from
# there on, nobody is told: `durable-ws certify` shows what is lost. See publish_bunny.rb for what to do about it.
require "bunny"
require "json"

connection = Bunny.new(ENV.fetch("RABBITMQ_URL"), log_level: Logger::FATAL)
connection.start
channel = connection.create_channel
exchanges = Hash.new { |known, name| known[name] = Bunny::Exchange.new(channel, :topic, name, no_declare: true) }

$stdout.sync = true
$stdin.each_line do |line|
  request = JSON.parse(line)
  break if request["op"] == "close"

  begin
    exchanges[request["exchange"]].publish(
      request["body"], routing_key: request["routing_key"], message_id: request["id"], persistent: true
    )
    puts JSON.generate(id: request["id"], outcome: "confirmed")
  rescue Bunny::Exception, SystemCallError, IOError => e
    puts JSON.generate(id: request["id"], outcome: "failed", detail: e.inspect)
  end
end
