"""A laboratory of real BitTorrent clients, each in a network namespace of its own."""
