#!/usr/bin/env bash
# Build the image, then prove on it what is promised: two containers on one Redis, 20,000 http jobs, one container killed and
# restarted mid-run, none lost. With a Docker daemon: docker. Without: buildah (chroot isolation) builds and runs; docker/README.md
# tells how and why. Nothing is pushed; everything lies under .dev/image and is removed by ./dev clean.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
work=$PWD/.dev/image
jobs=20000
mkdir -p "$work"
pids=()
scratch=$(mktemp -d /tmp/lockstep-image.XXXXXX)

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$1" >&2; [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2; exit 1; }
finish() {
  local pid
  for name in a b; do container_remove "$name" >/dev/null 2>&1 || true; done
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$scratch"
}

# ---- the two engines: build_image, container_start NAME CONFIG, container_kill NAME, container_stop NAME, container_remove NAME ----

if docker info >/dev/null 2>&1; then
  build_image() { docker build -t lockstep -f docker/Dockerfile .; }
  container_start() { docker run -d --name "lockstep-image-$1" --network host -v "$2:/etc/lockstep/lockstep.yaml:ro" lockstep >/dev/null; }
  container_kill() { docker kill -s KILL "lockstep-image-$1" >/dev/null; docker rm -f "lockstep-image-$1" >/dev/null; }
  container_stop() { docker stop -t 40 "lockstep-image-$1" >/dev/null; [ "$(docker inspect -f '{{.State.ExitCode}}' "lockstep-image-$1")" = 0 ]; }
  container_health() { docker exec "lockstep-image-$1" bash -c "$health"; }
  container_remove() { docker rm -f "lockstep-image-$1"; }
else
  [ "$(id -u)" -eq 0 ] || die "cannot build the image without a Docker daemon as an ordinary user" "run: sudo ./dev image"
  storage=(--root "$work/storage" --runroot "$work/run" --storage-driver vfs)
  image() { buildah "${storage[@]}" "$@"; }

  # Debian's base from the machine's own package sources. The mirror's name stays inside this local image.
  build_base() {
    local mirror
    image images -q docker.io/library/debian:trixie-slim 2>/dev/null | grep -q . && return 0
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | awk '$1 !~ /security/ && $2 == "main" { print $1; exit }')
    [ -n "$mirror" ] || die "cannot find a package source to build the base image from" "run: apt-get update"
    mmdebstrap --quiet --variant=minbase --include=ca-certificates --dpkgopt='path-exclude=/usr/share/man/*' \
      --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' trixie "$work/base.tar" "deb $mirror trixie main" &&
      printf 'FROM scratch\nADD base.tar /\nCMD ["bash"]\n' >"$work/Basefile" &&
      image bud --isolation chroot -t docker.io/library/debian:trixie-slim -f "$work/Basefile" "$work" &&
      rm -f "$work/base.tar"
  }
  build_image() { build_base && image bud --format docker --isolation chroot --network host --pull-never --layers -t lockstep -f docker/Dockerfile .; }

  # A container: the image's own root file system, its own mount, pid and ipc namespaces, the pool as pid 1 and not root.
  container_start() {
    local name=$1 config=$2 root
    image rm "lockstep-$name" >/dev/null 2>&1 || true
    image from --pull-never --name "lockstep-$name" lockstep >/dev/null
    root=$(image mount "lockstep-$name")
    cp "$config" "$root/etc/lockstep/lockstep.yaml"
    mkdir -p "$root/proc" "$root/dev"
    # shellcheck disable=SC2016
    unshare --mount --pid --ipc --fork --kill-child=SIGKILL -- bash -c '
      root=$1
      mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"
      exec setpriv --reset-env chroot --userspec=10001:10001 "$root" /usr/bin/env LOCKSTEP_CONFIG=/etc/lockstep/lockstep.yaml \
        bash -c "cd /var/lib/lockstep && exec lockstep-worker"' container "$root" >"$scratch/$name.log" 2>&1 &
    pids+=($!)
    printf '%s\n' "$!" >"$scratch/$name.pid"
    printf '%s\n' "$root" >"$scratch/$name.root"
  }
  # The process that is pid 1 inside.
  container_pid1() { pgrep -P "$(cat "$scratch/$1.pid")" | head -n 1; }
  container_kill() { kill -KILL "$(container_pid1 "$1")"; wait "$(cat "$scratch/$1.pid")" 2>/dev/null || true; }
  container_stop() { kill -TERM "$(container_pid1 "$1")"; wait "$(cat "$scratch/$1.pid")"; }
  container_health() { chroot "$(cat "$scratch/$1.root")" bash -c "$health"; }
  # Pid 1 first: it changed its user, so the kernel no longer ends it with unshare.
  container_remove() { kill -KILL "$(container_pid1 "$1")" "$(cat "$scratch/$1.pid")"; image rm "lockstep-$1"; }
fi
trap finish EXIT

# ---- the proof ------------------------------------------------------------------------------------------------------------------


wait_for() { # wait_for SECONDS WHAT COMMAND...
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $until ]; then tail -n 15 "$scratch"/*.log >&2; die "gave up waiting for: $what"; fi
    sleep 0.1
  done
}
free_port() { node -e 's=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})'; }
config() { # config FILE HEALTH_PORT
  printf 'redis: redis://127.0.0.1:%s/0\nstate_dir: /var/lib/lockstep\nrunners: 2\nadmin: {listen: "127.0.0.1:%s"}\n' "$redis_port" "$2" >"$1"
  chmod 644 "$1"
}
queue() { redis-cli -p "$redis_port" "$@"; }
delivered() { node -e 'fetch(process.argv[1]+"/count").then(r=>r.json()).then(c=>console.log(c.ids, c.requests))' "$sink"; }
delivered_at_least() { [ "$(delivered | cut -d' ' -f1)" -ge "$1" ]; }
queue_empty() {
  [ "$(queue LLEN 'lockstep:{default}:pending')" = 0 ] && [ "$(queue ZCARD 'lockstep:{default}:delayed')" = 0 ] &&
    [ -z "$(queue --scan --pattern 'lockstep:{default}:running:*')" ]
}
healthy() { LOCKSTEP_HEALTH=127.0.0.1:$2 container_health "$1"; }
# The image's own HEALTHCHECK.
# shellcheck disable=SC2016
health='exec 3<>/dev/tcp/${LOCKSTEP_HEALTH/://} && printf "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && head -n1 <&3 | grep -q " 200 "'

build_started=$SECONDS
say "building the image (the first time takes some minutes)"
build_image >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" >&2; die "cannot build the image" "the whole log is $work/build.log"; }
say "image 'lockstep' built in $((SECONDS - build_started)) s"

redis_port=$(free_port)
redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$scratch" --appendonly yes --appendfsync everysec --save '' \
  --maxmemory-policy noeviction --logfile "$scratch/redis.log" &
pids+=($!)
wait_for 10 "Redis" queue PING
node tests/platforms/sink.mjs --port 0 --delay-ms 50 >"$scratch/sink.json" 2>"$scratch/sink.log" &
pids+=($!)
wait_for 10 "the HTTP sink" grep -q url "$scratch/sink.json"
sink=$(sed -n 's/.*"url": *"\([^"]*\)".*/\1/p' "$scratch/sink.json")
health_a=$(free_port) health_b=$(free_port)
config "$scratch/a.yaml" "$health_a"
config "$scratch/b.yaml" "$health_b"

container_start a "$scratch/a.yaml"
container_start b "$scratch/b.yaml"
wait_for 30 "container a to be healthy" healthy a "$health_a"
wait_for 30 "container b to be healthy" healthy b "$health_b"
say "two containers are healthy on one Redis"

run_started=$SECONDS
seq "$jobs" | awk -v url="$sink" '{ printf "RPUSH lockstep:{default}:pending \"{\\\"kind\\\":\\\"http\\\",\\\"data\\\":{\\\"url\\\":\\\"%s/job/%d\\\",\\\"body\\\":{\\\"n\\\":%d}}}\"\n", url, $1, $1 }' |
  queue --pipe >"$scratch/push.log"
say "pushed $jobs http jobs by plain RPUSH"
wait_for 60 "a fifth of the jobs" delivered_at_least $((jobs / 5))
container_kill a
say "killed container a (SIGKILL) at $(delivered | cut -d' ' -f1) deliveries"
container_start a "$scratch/a.yaml"
wait_for 180 "all $jobs jobs" delivered_at_least "$jobs"
wait_for 60 "the queue to be empty" queue_empty
read -r distinct total < <(delivered)
dead=$(queue LLEN 'lockstep:{default}:dead')
container_stop a || die "container a did not stop cleanly on SIGTERM"
container_stop b || die "container b did not stop cleanly on SIGTERM"
say "delivered $distinct of $jobs jobs in $((SECONDS - run_started)) s, $((total - distinct)) repeated, $dead dead; both containers stopped cleanly"
if [ "$distinct" -ne "$jobs" ] || [ "$dead" -ne 0 ]; then die "jobs were lost"; fi
say "image: ok"
