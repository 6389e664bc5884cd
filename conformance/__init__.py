"""The conformance suite: proves, on a real RabbitMQ, that what was published reaches every browser tab."""
