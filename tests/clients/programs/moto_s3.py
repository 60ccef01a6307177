"""An S3 that proves signatures: moto's server with one user's keys and a bucket. It says on standard output where it is, and for each line
`put KEY` on standard input it stores what FOLDER/KEY holds. It ends with its standard input."""

import json
import os
import sys

import boto3
import requests
from moto.server import ThreadedMotoServer

FOLDER = os.environ["FOLDER"]
BUCKET = os.environ["BUCKET"]

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"


def client(name, key="root", secret="root"):
    return boto3.client(name, endpoint_url=url, region_name="eu-central-1", aws_access_key_id=key, aws_secret_access_key=secret)


iam = client("iam")
iam.create_user(UserName="reader")
allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
iam.put_user_policy(UserName="reader", PolicyName="s3", PolicyDocument=json.dumps(allowed))
keys = iam.create_access_key(UserName="reader")["AccessKey"]
s3 = client("s3", keys["AccessKeyId"], keys["SecretAccessKey"])
s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
# From now on every request has to be signed, and allowed.
requests.post(f"{url}/moto-api/reset-auth", data="0", timeout=10).raise_for_status()


def say(what):
    print(json.dumps(what), flush=True)


def put(key):
    path = os.path.join(FOLDER, key.replace("/", "_"))
    with open(path, "rb") as file:
        s3.put_object(Bucket=BUCKET, Key=key, Body=file.read())


try:
    client("s3", keys["AccessKeyId"], "another").list_objects_v2(Bucket=BUCKET)
    sys.exit("a wrong key was taken: nothing would be proven")
except client("s3").exceptions.ClientError as error:
    assert error.response["Error"]["Code"] == "SignatureDoesNotMatch", error
say({"url": url, "key": keys["AccessKeyId"], "secret": keys["SecretAccessKey"]})
for line in sys.stdin:
    word, _, key = line.strip().partition(" ")
    assert word == "put", line
    put(key)
    say({"put": key})
server.stop()
