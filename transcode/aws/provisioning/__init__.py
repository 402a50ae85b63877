"""What the product needs in AWS, a kind of thing a module: what is there is read, what is missing becomes steps.

`shapes` says what is wanted, `steps` what a plan is made of. The whole of it is `transcode.aws.provision`.
"""
