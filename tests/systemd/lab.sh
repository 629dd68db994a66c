#!/bin/bash
# A throw-away Debian with a systemd of its own, in which the tests run the unit. Needs root.
#
#   lab.sh build                  make the tree that labs boot from, unless it is cached; print its path
#   lab.sh boot [SRC:DST ...]     boot a lab, SRC mounted read-only at DST; print the PID of its init once it is up.
#                                 It lives until stdin ends, a signal comes or LAB_SECONDS have passed.
#   lab.sh exec PID COMMAND ...   run a command as root in the lab with that init
#
# The lab is systemd-nspawn on an overlay: below it the cached tree, which is never written; above it a tmpfs. Both
# mounts are made in a mount namespace of this script's own and its processes sit in a cgroup of their own. So two
# labs never meet, and all of a lab is gone with this script: the traps see to it, and where not even they run
# (kill -9), the parent death signal ends the PID namespace that nspawn runs in, and the kernel takes the mounts.
#
# Environment: GPUFIN_LAB_CACHE (where trees are kept), LAB_SECONDS (most that a lab may live),
# LAB_GPUS (how many NVIDIA device nodes to fake).
# The last line on stderr says what is wrong; exit status 1, of exec the command's.
set -euo pipefail
export LC_ALL=C.UTF-8

RECIPE=1 # raise it when the tree is to be built another way
PACKAGES=systemd,systemd-sysv,libnss-systemd,dbus,python3,python3-pip
CACHE=${GPUFIN_LAB_CACHE:-${HOME:-/root}/.cache/gpufin/lab}
BUILD_SECONDS=600
BOOT_SECONDS=60
JOB=    # the process in the background: a build, a lab
CGROUP= # the lab's

die() {
  echo "lab: $*" >&2
  exit 1
}

needs() {
  local program
  [ "$(id -u)" = 0 ] || die "needs root: it mounts file systems and boots a container"
  for program in "$@"; do
    command -v "${program%%:*}" >/dev/null ||
      die "${program%%:*} is missing: apt-get install ${program#*:}"
  done
}

# ---- the tree
# The release of this machine: its archive is known to apt here, and what was compiled here runs there.
# shellcheck source=/dev/null
release() { (. /etc/os-release && echo "${VERSION_CODENAME:-}"); }

mirror() {
  # shellcheck disable=SC2016 # apt's own placeholders
  apt-get indextargets --format '$(REPO_URI) $(CODENAME)' |
    awk -v codename="$1" '$2 == codename && !found { print $1; found = 1 }'
}

tree() { echo "$CACHE/$(release)-$(dpkg --print-architecture)-$RECIPE-$(cksum <<<"$PACKAGES" | cut -d' ' -f1)"; }

build() {
  local new=$CACHE/new.$$ from log=$CACHE/build.log unit
  mkdir -p "$CACHE"
  exec 9>"$CACHE/lock"
  flock -w "$BUILD_SECONDS" 9 || die "another build holds $CACHE/lock"
  if [ ! -d "$(tree)" ]; then
    needs mmdebstrap:mmdebstrap unshare:util-linux
    from=$(mirror "$(release)")
    [ -n "$from" ] || die "apt knows no archive for the release '$(release)' of this machine"
    rm -rf --one-file-system "$CACHE"/new.* # what builds that were killed have left; we hold the lock
    # A PID namespace: with its first process everything that mmdebstrap started is gone, mounts included.
    unshare --mount --pid --fork --kill-child -- timeout "$BUILD_SECONDS" \
      mmdebstrap --mode=root --variant=apt --include="$PACKAGES" \
      --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
      --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
      --dpkgopt='path-exclude=/usr/share/locale/*' \
      "$(release)" "$new" "$from" </dev/null >"$log" 2>&1 9>&- &
    JOB=$!
    wait "$JOB" || { tail -5 "$log" >&2 && die "mmdebstrap failed: see $log"; }
    JOB=
    rm -rf "$new"/var/cache/apt/archives/*.deb "$new"/var/lib/apt/lists/*_*
    echo lab >"$new/etc/hostname"
    echo '127.0.0.1 localhost lab' >"$new/etc/hosts"
    tr -d - </proc/sys/kernel/random/uuid >"$new/etc/machine-id" # else the first boot presets every unit
    # Nothing here has a console, and nothing may update itself behind a test.
    for unit in console-getty.service getty@.service apt-daily.timer apt-daily-upgrade.timer; do
      ln -s /dev/null "$new/etc/systemd/system/$unit" 2>/dev/null || :
    done
    mv "$new" "$(tree)"
  fi
  exec 9>&-
}

# ---- one lab
stop() {
  local try
  trap '' HUP INT TERM
  if [ -n "$JOB" ]; then
    kill -KILL "$JOB" 2>/dev/null || :
    wait "$JOB" 2>/dev/null || : # here, or bash tells the world that its job was killed
  fi
  [ -d "$CGROUP" ] || return 0
  echo 1 >"$CGROUP/cgroup.kill" 2>/dev/null || :
  for ((try = 0; try < 100; try++)); do
    find "$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || :
    [ -d "$CGROUP" ] || return 0
    sleep 0.05 # its processes are dying
  done
  echo "lab: $CGROUP does not go away" >&2
}

mounts() {
  mkdir -p "$CACHE/live" # the same for every lab: each sees its own mounts there
  mount -t tmpfs -o mode=755,size=2g lab "$CACHE/live"
  mkdir "$CACHE/live/upper" "$CACHE/live/work" "$CACHE/live/root"
  mount -t overlay lab "$CACHE/live/root" \
    -o "lowerdir=$(tree),upperdir=$CACHE/live/upper,workdir=$CACHE/live/work"
  mkdir -p /run/systemd/nspawn
  mount -t tmpfs lab /run/systemd/nspawn # nspawn's locks, so that two labs do not share them
  # systemd inside wants the unified hierarchy; a machine with the old ones can still mount it.
  [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] || mount -t cgroup2 lab /sys/fs/cgroup
}

start() {
  local controller bind options=()
  for bind in "$@"; do options+=("--bind-ro=$bind"); done
  for CGROUP in /sys/fs/cgroup/gpufin-lab-*; do # what labs that were killed have left, empty by now
    [ -d "/proc/${CGROUP##*-}" ] || find "$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || :
  done
  CGROUP=/sys/fs/cgroup/gpufin-lab-$$
  mkdir "$CGROUP" "$CGROUP/lab" || die "no cgroup can be made here"
  for controller in $(<"$CGROUP/cgroup.controllers"); do
    echo "+$controller" >"$CGROUP/cgroup.subtree_control" 2>/dev/null || :
  done
  # bpf(2): systemd keeps DevicePolicy= and DeviceAllow= by it. clock_adjtime(2): any machine lets anybody read the
  # state of its clock by it; only nspawn does not.
  (
    echo "$BASHPID" >"$CGROUP/lab/cgroup.procs"
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec setpriv --pdeathsig KILL \
      unshare --pid --fork --kill-child --mount-proc -- \
      systemd-nspawn --quiet --boot --directory="$CACHE/live/root" --machine=lab --register=no --keep-unit \
      --private-network --private-users=no --link-journal=no --resolv-conf=off --timezone=off \
      --capability=CAP_BPF,CAP_PERFMON --system-call-filter="bpf adjtimex clock_adjtime" --console=read-only \
      "${options[@]}"
  ) </dev/null >&2 &
  JOB=$!
}

init() { cat "$CGROUP/lab/payload/init.scope/cgroup.procs" 2>/dev/null; }

inside() { # env -i: nothing of this machine's environment reaches the lab
  nsenter --target "$1" --mount --uts --ipc --net --pid --cgroup --root --wd -- \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 SYSTEMD_PAGER= SYSTEMD_COLORS=0 "${@:2}"
}

await_up() {
  local state=none
  while [ $SECONDS -lt $BOOT_SECONDS ]; do
    kill -0 "$JOB" 2>/dev/null || die "systemd-nspawn ended; its console is above"
    state=$([ -z "$(init)" ] || inside "$(init)" systemctl is-system-running 2>/dev/null || :)
    [ "$state" != running ] || return 0
    [ "$state" != degraded ] || inside "$(init)" systemctl --failed --no-legend >&2
    [ "$state" != degraded ] || die "a unit of the lab itself failed"
    sleep 0.05
  done
  die "not up after $BOOT_SECONDS s (state: $state)"
}

# NVIDIA's numbers with no driver behind them: open(2) says ENXIO where it is allowed and EPERM where it is not.
fake_gpus() {
  # shellcheck disable=SC2016 # expanded inside
  inside "$1" bash -euc '
    mknod -m 666 /dev/nvidiactl c 195 255
    for ((i = 0; i < $0; i++)); do mknod -m 666 "/dev/nvidia$i" c 195 "$i"; done
    sed "0,/^\$/s/^\$/195 nvidia\n195 nvidiactl\n/" /proc/devices >/run/devices
    mount --bind /run/devices /proc/devices' "$2"
}

boot() {
  local status
  build
  mounts
  SECONDS=0
  start "$@"
  await_up
  [ -z "${LAB_GPUS:-}" ] || fake_gpus "$(init)" "$LAB_GPUS"
  init
  while kill -0 "$JOB" 2>/dev/null; do
    [ $SECONDS -lt "${LAB_SECONDS:-600}" ] || die "LAB_SECONDS are over"
    status=0
    read -r -t 1 || status=$?
    [ "$status" != 1 ] || return 0 # end of file; above 128: nothing came within the second
  done
  die "the lab powered itself off"
}

trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
case ${1:-} in
  build)
    needs flock:util-linux
    build
    tree
    ;;
  boot)
    needs systemd-nspawn:systemd-container nsenter:util-linux unshare:util-linux setpriv:util-linux
    # The same process goes on, in a mount namespace of its own.
    [ -n "${LAB_UNSHARED:-}" ] || LAB_UNSHARED=1 exec unshare --mount --propagation private -- bash "$0" "$@"
    boot "${@:2}"
    ;;
  exec)
    needs nsenter:util-linux
    [ $# -ge 3 ] || die "exec PID COMMAND ..."
    inside "${@:2}"
    ;;
  *) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2 && exit 2 ;;
esac
