"""Recipes by brokers: which way of subscribing loses messages on which RabbitMQ."""
