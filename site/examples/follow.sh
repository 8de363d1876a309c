#!/bin/sh
# Keeps the port in an nftables set. It needs root and jq.
set -eu
trap 'nft flush set inet filter teredo_ports' EXIT
trap 'exit 1' INT TERM

nft flush set inet filter teredo_ports
teredo monitor --json --events port | jq --unbuffered -r .port | while read -r port; do
	if [ "$port" = 0 ]; then
		nft flush set inet filter teredo_ports
	else
		nft "flush set inet filter teredo_ports; add element inet filter teredo_ports { $port }"
	fi
	echo "port $port"
done
