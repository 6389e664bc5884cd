"""The contract: what is promised, how tabs subscribe, and on which broker."""
