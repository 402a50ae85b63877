"""What a transcode is: the record, its life, the presets, the ffmpeg run.

Touch this to change what the product does. Nothing here may import Flask, Celery, kombu, `workers`,
`webapp` or `cli`; boto3 is imported in `transcode.aws` only, processes are started in
`transcode.ffmpeg.runner` only. import-linter holds these rules in `make check`.
"""
