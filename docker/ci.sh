#!/bin/sh
# Compiles a bus1 program in a container and runs it in another one, against a daemon of its own. Fails if any of that
# fails. Copy it to a project that uses bus1, or call it:
#
#   docker/ci.sh SOURCE.c [ARGUMENT...]
#
# The images it takes, all of which it needs to find or be able to pull:
#   BUS1FS_IMAGE    the daemon    (bus1fs; made by: docker build -f docker/Dockerfile -t bus1fs .)
#   COMPILER_IMAGE  gcc           (gcc:14)
#   RUNTIME_IMAGE   a C library   (the same)
set -eu
if [ ! -f "${1-}" ]; then
  echo "usage: $0 SOURCE.c [ARGUMENT...]" >&2
  exit 2
fi
source=$(realpath "$1")
shift
daemon_image=${BUS1FS_IMAGE:-bus1fs}
compiler_image=${COMPILER_IMAGE:-gcc:14}
runtime_image=${RUNTIME_IMAGE:-$compiler_image}

work=$(mktemp -d)
# bus1 too, since the daemon may not write to the directory of another user
mkdir "$work/bus" "$work/bus/bus1" "$work/build"
daemon=$(docker create --pid host --network none --device /dev/fuse --security-opt apparmor=unconfined \
  --cap-drop ALL --cap-add SYS_ADMIN --cap-add SYS_PTRACE --cap-add DAC_OVERRIDE \
  --volume "$work/bus:/run/bus:rshared" "$daemon_image" mount /run/bus/bus1 --no-link)
clean_up() {
  status=$?
  [ $status -eq 0 ] || docker logs "$daemon" >&2
  docker stop "$daemon" >/dev/null
  docker rm "$daemon" >/dev/null
  rm -rf "$work"
  exit $status
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

docker start "$daemon" >/dev/null
tries=0
until docker exec "$daemon" bus1fs status >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ $tries -lt 50 ] || { echo "$0: the daemon is not ready; it says:" >&2; exit 1; }
  sleep 0.2
done

docker cp "$daemon:/opt/bus1fs/include" "$work/build/include" >/dev/null
docker run --rm --network none --volume "$source:/source.c:ro" --volume "$work/build:/build" "$compiler_image" \
  gcc -O2 -Wall -I /build/include -o /build/program /source.c -pthread
docker run --rm --volume "$work/bus:/run/bus:rslave" --volume "$work/build/program:/usr/local/bin/program:ro" "$runtime_image" \
  sh -c 'ln -s /run/bus/bus1/bus1 /dev/bus1 && exec program "$@"' sh "$@"
