"""Keeps the port in an nftables set, and the client waits for it. It needs root."""

import json
import os
import socket
import subprocess

SET = "inet filter teredo_ports"


def nft(commands):
    subprocess.run(["nft", commands], check=True)


service = socket.socket(socket.AF_UNIX)
service.connect(os.environ.get("TEREDO_SOCKET", "/run/teredo/teredo.sock"))


def call(method, parameters, **flags):
    message = {"method": "io.teredo.Client." + method, "parameters": parameters, **flags}
    service.sendall(json.dumps(message).encode() + b"\0")


call("Subscribe", {"initial": True, "gate": True}, more=True)
received = b""
try:
    while chunk := service.recv(4096):
        *messages, received = (received + chunk).split(b"\0")
        for message in messages:
            reply = json.loads(message)
            if "error" in reply:
                raise SystemExit(reply["error"])
            state = reply["parameters"]
            port = state["port"]
            nft(f"flush set {SET}" + (f"; add element {SET} {{ {port} }}" if port else ""))
            # Nothing has left from this port until now.
            call("Settle", {"subscription": state["subscription"], "sequence": state["sequence"]}, oneway=True)
            print("port", port, flush=True)
finally:
    # The client has ended, or this program does.
    nft(f"flush set {SET}")
