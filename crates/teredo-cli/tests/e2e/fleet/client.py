"""A client of NATS that knows the protocol and nothing else: SERVER CA USER SEED-FILE ask SUBJECT PAYLOAD | flood SUBJECT TIMES | reply SUBJECT REPLY | header SUBJECT HEADER (with escapes) | tell SUBJECT HEADER | names SUBJECT SECONDS"""
import base64, json, socket, ssl, subprocess, sys, tempfile, time

server, ca, user, seed_file, verb, subject, argument = sys.argv[1:]
raw = socket.create_connection((server, 4222), 5)
lines = raw.makefile("rb")
info = json.loads(lines.readline()[5:])
tls = ssl.create_default_context(cafile=ca).wrap_socket(raw, server_hostname=server)
tls.settimeout(2)
lines = tls.makefile("rb")

# An nkey is base32 of two bytes of type, 32 bytes of the seed and a check sum.
text = open(seed_file).read().strip()
seed = base64.b32decode(text + "=" * (-len(text) % 8))[2:34]
with tempfile.NamedTemporaryFile() as key, tempfile.NamedTemporaryFile() as nonce:
    key.write(bytes.fromhex("302e020100300506032b657004220420") + seed)
    key.flush()
    nonce.write(info["nonce"].encode())
    nonce.flush()
    sign = ["openssl", "pkeyutl", "-sign", "-rawin", "-keyform", "DER", "-inkey", key.name, "-in", nonce.name]
    signature = subprocess.run(sign, check=True, capture_output=True).stdout
    public = ["openssl", "pkey", "-inform", "DER", "-in", key.name, "-pubout", "-outform", "DER"]
    public = subprocess.run(public, check=True, capture_output=True).stdout[-32:]


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


body = bytes([20 << 3]) + public
nkey = base64.b32encode(body + crc16(body).to_bytes(2, "little")).decode().rstrip("=")
sig = base64.urlsafe_b64encode(signature).decode().rstrip("=")
hello = {"verbose": False, "pedantic": False, "nkey": nkey, "sig": sig, "lang": "test", "version": "1", "headers": True}
inbox = f"_INBOX_{user}.1"
tls.sendall(f"CONNECT {json.dumps(hello)}\r\nSUB {inbox} 1\r\nPING\r\n".encode())
while not lines.readline().startswith(b"PONG"):
    pass


def publish(payload):
    tls.sendall(f"PUB {subject} {inbox} {len(payload)}\r\n{payload}\r\n".encode())


def publish_below(header):
    header = header.encode().decode("unicode_escape").encode("latin1")
    tls.sendall(f"HPUB {subject} {inbox} {len(header)} {len(header) + 2}\r\n".encode() + header + b"{}\r\n")


if verb == "flood":
    entry = {"schema": "teredo.port/1", "host": user, "address": None, "mapped": {"address": None, "port": 0}, "boot": "flood"}
    start = time.time()
    for number in range(int(argument)):
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(start)) + f".{number:06}Z"
        local = {"address": "192.0.2.66", "port": 1024 + number % 60000}
        publish(json.dumps(entry | {"local": local, "sequence": number, "time": at}))
    print("sent")
elif verb == "names":
    header = b"NATS/1.0\r\n" + b"".join(b"%x:\r\n" % number for number in range(2400)) + b"\r\n"
    end = time.time() + int(argument)
    # The server slows a sender down that is faster than the receiver.
    tls.settimeout(30)
    while time.time() < end:
        tls.sendall(f"HPUB {subject} {inbox} {len(header)} {len(header)}\r\n".encode() + header + b"\r\n")
    print("sent")
elif verb in ("reply", "tell"):
    if verb == "reply":
        tls.sendall(f"PUB {subject} {argument} 2\r\n{{}}\r\n".encode())
    else:
        publish_below(argument)
    tls.sendall(b"PING\r\n")
    while not (line := lines.readline().decode()).startswith("PONG"):
        print(line, end="")
else:
    if verb == "header":
        publish_below(argument)
    else:
        publish(argument)
    while True:
        try:
            line = lines.readline().decode()
        except TimeoutError:
            sys.exit("no answer")
        if line.startswith("-ERR") or not line:
            print(line)
            break
        if line.startswith(("MSG", "HMSG")):
            length = int(line.split()[-1])
            print(lines.read(length).decode(errors="replace"))
            break
