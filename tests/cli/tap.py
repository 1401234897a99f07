"""The main of a script of test_... functions: it runs all of them and speaks TAP."""

import traceback


def main(tests):
    """Runs what is called test_... in a module's globals() and prints TAP; an exit code."""
    tests = [(name, test) for name, test in tests.items() if name.startswith("test_")]
    failed = 0
    print(f"1..{len(tests)}", flush=True)
    for number, (name, test) in enumerate(tests, 1):
        try:
            test()
            print(f"ok {number} {name}", flush=True)
        except Exception:  # whatever it was, the other tests are run
            failed += 1
            print(f"not ok {number} {name}")
            for line in traceback.format_exc(-2).splitlines():
                print("# " + line, flush=True)
    return 1 if failed else 0
