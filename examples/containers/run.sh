#!/bin/sh
# Two containers meet on one bus, which a daemon on this machine serves.
#
#   ./run.sh [docker|podman]
#
#   BUS     where the daemon has its mount (/run/bus1)
#   IMAGE   any image that is there or can be pulled: what runs in it is static (busybox)
set -eu
engine=${1:-docker}
bus=${BUS:-/run/bus1}
image=${IMAGE:-busybox}
[ -e "$bus/bus1" ] || { echo "$0: there is no device in $bus; start the daemon: bus1fs mount" >&2; exit 1; }

work=$(mktemp -d)
service=
clean_up() {
  [ -z "$service" ] || "$engine" rm --force "$service" >/dev/null
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

cc -static -Wall -I"$(bus1fs include-dir)" -o "$work/meet" "$(dirname "$0")/../meet.c"

# Each container gets the directory of the bus, and one with the program and the socket at which they meet.
set -- --network none --volume "$bus:/run/bus1" --volume "$work:/meeting" "$image" /meeting/meet
service=$("$engine" run --detach "$@" serve /meeting/socket /run/bus1/bus1)
until "$engine" logs "$service" 2>&1 | grep -q '^waiting'; do
  running=$("$engine" inspect --format '{{.State.Running}}' "$service")
  [ "$running" = true ] || { "$engine" logs "$service" >&2; exit 1; }
  sleep 0.1
done
echo "visitor: $("$engine" run --rm "$@" visit /meeting/socket /run/bus1/bus1)"
status=$("$engine" wait "$service")
"$engine" logs "$service" | sed 's/^/service: /'
exit "$status"
