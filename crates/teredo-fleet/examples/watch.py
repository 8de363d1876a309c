#!/usr/bin/env python3
"""Follows the ports of a fleet with nats-py: a line for each host that opens or closes a port.

    pip install nats-py[nkeys]
    watch.py tls://nats.example ca.pem shop.nk [USER]

The user is the reader of `teredo publish nats-config`. Its key's file has that name, unless you have renamed it.
An entry ends after the bucket's TTL without a renewal, or after its own "lease" if that is shorter. The bucket does not
announce that, so each program keeps the time itself.
"""

import asyncio
import ipaddress
import json
import ssl
import sys
import time

import nats
from nats.js import api

BUCKET = "teredo_ports"


async def main(url: str, ca: str, seed: str, user: str | None = None) -> None:
    user = user or seed.rsplit("/", 1)[-1].removesuffix(".nk")
    connection = await nats.connect(
        url,
        tls=ssl.create_default_context(cafile=ca),
        nkeys_seed=seed,
        # The account permits the answers to this user alone.
        inbox_prefix=f"_INBOX_{user}".encode(),
    )
    stream = connection.jetstream()
    ttl = (await stream.stream_info(f"KV_{BUCKET}")).config.max_age
    subscription = await stream.subscribe(
        f"$KV.{BUCKET}.>",
        stream=f"KV_{BUCKET}",
        ordered_consumer=True,
        deliver_policy=api.DeliverPolicy.LAST_PER_SUBJECT,
    )
    # host -> (endpoint, when its entry ends)
    known: dict[str, tuple[str, float]] = {}

    def close(host: str, why: str) -> None:
        endpoint, _ = known.pop(host)
        print(f"close {endpoint}  {host}: {why}", flush=True)

    while True:
        try:
            message = await subscription.next_msg(timeout=1)
        except nats.errors.TimeoutError:
            message = None
        for host in [host for host, (_, end) in known.items() if end <= time.monotonic()]:
            close(host, "its lease has ended")
        if message is None:
            continue
        host = message.subject.removeprefix(f"$KV.{BUCKET}.")
        try:
            endpoint, lease = read(host, message.data, ttl)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # A host can write anything to its own key. What it had ends with its lease.
            print(f"skip  {host}: {error!r}", file=sys.stderr, flush=True)
            continue
        if host in known and known[host][0] != endpoint:
            close(host, "the port has changed" if endpoint else "the host has no port")
        if endpoint:
            if host not in known:
                print(f"open  {endpoint}  {host}", flush=True)
            known[host] = (endpoint, time.monotonic() + lease)


def read(host: str, value: bytes, ttl: float) -> tuple[str | None, float]:
    """The endpoint of an entry, and how long it lasts; no endpoint: the key was deleted, or the host has no port."""
    if not value:
        return None, 0
    entry = json.loads(value)
    if entry["schema"] != "teredo.port/1" or entry["host"] != host:
        raise ValueError("no entry of this key")
    local = entry.get("local") or {"port": 0}
    lease = entry.get("lease")
    endpoint = f"{ipaddress.IPv4Address(local['address'])}:{int(local['port'])}" if local["port"] else None
    return endpoint, ttl if lease is None else min(ttl, float(lease))


asyncio.run(main(*sys.argv[1:]))
