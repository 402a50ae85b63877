"""What the product costs and how fast it is, as ratios against what one would use instead and against the limit.

`python -m bench` runs all, `python -m bench NAME ...` some; none is a test. A bench is a module with

    def measure(rounds: int) -> Found

that measures everything it compares in turn, in one run, `rounds` times; `verdict` says what a `Found` is.
"""
