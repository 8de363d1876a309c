"""A stream of datagrams through the tunnel and back: it shows whether the client was away.

    stream.py echo PORT                 sends back what arrives
    stream.py send ADDRESS PORT STOP    sends until the file STOP is there; prints how many went and how many came back
"""

import os
import select
import socket
import sys
import time

PERIOD = 0.01
# After the end of the stream, for what is still on its way.
PATIENCE = 3


def echo(port):
    endpoint = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    endpoint.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    endpoint.bind(("::", port))
    while True:
        data, [(level, kind, information)], _, sender = endpoint.recvmsg(64, 64)
        # From the address that it was sent to, by whichever interface (struct in6_pktinfo).
        source = information[:16] + bytes(4)
        endpoint.sendmsg([data], [(level, kind, source)], 0, sender)


def send(address, port, stop):
    endpoint = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    endpoint.setblocking(False)
    endpoint.connect((address, port))
    sent, returned, longest, heard = 0, set(), 0.0, time.monotonic()
    due, end = time.monotonic(), None
    while end is None or (time.monotonic() < end and len(returned) < sent):
        now = time.monotonic()
        if end is None and now >= due:
            endpoint.send(str(sent).encode())
            sent, due = sent + 1, due + PERIOD
            if os.path.exists(stop):
                end = now + PATIENCE
        readable, _, _ = select.select([endpoint], [], [], max(0, due - now))
        if readable:
            returned.add(int(endpoint.recv(64)))
            longest, heard = max(longest, time.monotonic() - heard), time.monotonic()
    print(f"sent {sent}, returned {len(returned)}, longest silence {longest * 1000:.0f} ms")


if sys.argv[1] == "echo":
    echo(int(sys.argv[2]))
else:
    send(sys.argv[2], int(sys.argv[3]), sys.argv[4])
