#!/bin/sh
# Keeps the Teredo address of this host in the DNS, for teredo-hooks.service. It needs nsupdate (bind9-dnsutils).
set -eu
server=127.0.0.1
name=alice.example.net

[ "$TEREDO_EVENT" = address ] || exit 0
{
	echo "server $server"
	echo "update delete $name AAAA"
	if [ -n "$TEREDO_ADDRESS" ]; then
		echo "update add $name 60 AAAA $TEREDO_ADDRESS"
	fi
	echo send
} | nsupdate -t 10 -k "$CREDENTIALS_DIRECTORY/dynamic-dns.key"
echo "$name is ${TEREDO_ADDRESS:-gone}"
