#!/usr/bin/env bash
# A Slurm of one machine, to try the cluster profile: no accounting, no cgroups, so that it runs in containers too.
#   tools/slurm.sh start [NODES]   NODES (default 1) nodes, all of them this machine
#   tools/slurm.sh status          its nodes and jobs
#   tools/slurm.sh stop            ends its jobs and daemons, removes its folder
# Needs root (the daemons start jobs as users) and Debian's slurm-wlm and munge. All its files are in one folder
# (SLURM_SANDBOX), with a munge key and socket of its own. Outside lies only a link at the default place of slurm.conf:
# Snakemake's plugin takes SLURM_CONF out of a job's environment, so that an srun inside would not find it otherwise.
set -euo pipefail
BASE=${SLURM_SANDBOX:-${TMPDIR:-/tmp}/pocketlm-slurm}
CONF=/etc/slurm/slurm.conf

fail() { echo "slurm.sh: $*" >&2; exit 1; }

check() {
    [ "$(id -u)" = 0 ] || fail "must run as root; remedy: sudo $0 ..."
    for name in munged slurmctld slurmd sbatch; do
        command -v "$name" >/dev/null || fail "$name is missing; remedy: apt-get install -y slurm-wlm munge"
    done
}

# The first free port from $1 on.
port() {
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

# MinJobAge is how long squeue still shows an ended job: without accounting, its state is nowhere else. Memory and GPUs
# are declared, not there: nothing enforces them, and every request of the profile must fit.
configure() {
    local nodes=$1 host
    host=$(hostname -s)
    cat <<CONFIG
ClusterName=pocketlm
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(port 16817)
AuthType=auth/munge
AuthInfo=socket=$BASE/munge.sock
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$BASE/state
SlurmdSpoolDir=$BASE/spool.%n
SlurmctldPidFile=$BASE/slurmctld.run
SlurmdPidFile=$BASE/slurmd.%n.run
SlurmctldLogFile=$BASE/log/slurmctld.log
SlurmdLogFile=$BASE/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MinJobAge=600
JobSubmitPlugins=lua
GresTypes=gpu
KillWait=5
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONFIG
    for ((node = 0; node < nodes; node++)); do
        echo "NodeName=pocket$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$(port $((16820 + node)))" \
            "CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=64000 Gres=gpu:2"
    done
}

# An account that does not exist is refused, as where there is accounting: by the plugin that sites write such rules in.
accounts() {
    cat <<'LUA'
function slurm_job_submit(job, partitions, user)
    if job.account ~= nil and job.account ~= "pocketlm" then return 2045 end -- ESLURM_INVALID_ACCOUNT
    return slurm.SUCCESS
end
function slurm_job_modify(job, record, partitions, user) return slurm.SUCCESS end
return slurm.SUCCESS
LUA
}

# launch NAME COMMAND...: a daemon in the foreground of its own session, its id in NAME.pid.
launch() {
    local name=$1
    shift
    setsid "$@" >"$BASE/log/$name.out" 2>&1 </dev/null &
    echo $! >"$BASE/$name.pid"
}

start() {
    local nodes=${1:-1}
    [ ! -e "$BASE" ] || fail "$BASE is there already; remedy: $0 stop"
    { [ ! -e "$CONF" ] && [ ! -L "$CONF" ]; } || fail "$CONF is there already: this machine has a Slurm of its own; use that"
    mkdir -p "$BASE"/{state,log} "$(dirname "$CONF")"
    chmod 755 "$BASE"
    dd if=/dev/urandom of="$BASE/munge.key" bs=128 count=1 status=none
    chmod 600 "$BASE/munge.key"
    configure "$nodes" >"$BASE/slurm.conf"
    accounts >"$BASE/job_submit.lua"
    printf 'Name=gpu File=%s\n' /dev/null /dev/zero >"$BASE/gres.conf"
    ln -s "$BASE/slurm.conf" "$CONF"
    launch munged munged --foreground --force --key-file="$BASE/munge.key" --socket="$BASE/munge.sock" \
        --pid-file="$BASE/munged.run" --log-file="$BASE/log/munged.log" --seed-file="$BASE/munge.seed"
    wait_for "munged" test -S "$BASE/munge.sock"
    launch slurmctld slurmctld -D -c -f "$BASE/slurm.conf"
    for ((node = 0; node < nodes; node++)); do
        mkdir -p "$BASE/spool.pocket$node"
        launch "slurmd$node" slurmd -D -c -f "$BASE/slurm.conf" -N "pocket$node"
    done
    wait_for "the nodes" idle "$nodes"
    sinfo
}

idle() { [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" = "$1" ]; }

wait_for() {
    local what=$1
    shift
    for _ in $(seq 150); do
        if "$@"; then return; fi
        sleep 0.2
    done
    tail -n 5 "$BASE"/log/* >&2
    fail "$what did not come up; remedy: read $BASE/log, then $0 stop"
}

# Jobs first, while their daemons can still end them; then the daemons, by the ids that start wrote down.
stop() {
    [ -d "$BASE" ] || { echo "slurm.sh: not running"; return; }
    timeout 10 scancel --user root 2>/dev/null || true
    timeout 10 bash -c 'while [ -n "$(squeue -h 2>/dev/null)" ]; do sleep 0.2; done' || true
    for pid in "$BASE"/slurmd*.pid "$BASE"/slurmctld.pid "$BASE"/munged.pid; do
        [ -f "$pid" ] || continue
        kill "$(cat "$pid")" 2>/dev/null || true
        timeout 10 tail --pid="$(cat "$pid")" -f /dev/null || kill -9 "$(cat "$pid")" 2>/dev/null || true
    done
    if [ "$(readlink "$CONF")" = "$BASE/slurm.conf" ]; then rm "$CONF"; fi
    rm -r "$BASE"
    echo "slurm.sh: stopped"
}

status() {
    [ -d "$BASE" ] || { echo "slurm.sh: not running"; return 1; }
    sinfo && squeue
}

check
case "${1:-}" in
    start | stop | status) "$@" ;;
    *) fail "usage: $0 start [NODES] | stop | status" ;;
esac
