"""Adapters that fill `transcode.ports` with AWS. Only here is boto3 imported.

botocore's exceptions stop here: each adapter turns them into errors of `transcode.errors`.
"""
