"""The lab's addresses that have a fixed place; clients get theirs from Swarm.add."""

TRACKER = "10.99.0.1"
AUDITOR = ("10.99.9.9", "fd99::9:9")
