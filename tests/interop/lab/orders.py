"""Programs of other languages that take orders: a line of JSON each way."""

import json


def give_order(process, name, do, **order):
    """Tells the process (with text pipes) what to do; its answer."""
    process.stdin.write(json.dumps(dict(order, do=do)) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{name} ended")
    return json.loads(line)
