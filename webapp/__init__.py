"""How people see and command it. Flask lives here.

It may import `transcode` and `workers.publisher`, nothing else of `workers`, and never `cli`.
"""
