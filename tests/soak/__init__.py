"""The soak: a farm of real processes under random faults, and a checker that reads all that happened.

    python -m tests.soak            (SOAK_TASKS=300 SOAK_SEED=1)

Real: API under gunicorn, two bridges with their reconcilers, Celery workers, DynamoDB, SQS, S3 and SNS by
moto, every byte between them. Not real: ffmpeg, for which `encoder` stands in, and the timers, which
`process` shortens. A seed fixes what is asked for and what is broken how often; when exactly a blow falls
depends on the machine, so a seed leads near a fault, not to it.

    recipes   what a clip tells the stand-in encoder, what an output tells the checker
    encoder   the stand-in              process   the product's processes, with short timers
    proxy     faults on the wire        history   replays every write of a record, and judges it
    farm      starts and stops          chaos     kills, freezes, restarts, outages
    people    submits, cancels, retries, purges
    reader    reads the output bucket all the time
    checker   judges the end            rounds    one round, from nothing to a verdict
    measure   times of recovery with the product's own timers
"""
