#!/bin/sh
# The first process of a stand-in board, in its own namespaces: board_init.sh SLOT NAME
set -eu
slot=$1 name=$2
disk=$slot/disk root=$slot/root

mount -o loop "$slot/disk.img" "$disk"
mkdir -p "$disk/upper" "$disk/work" "$disk/tmp"
chmod 1777 "$disk/tmp"
mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
hostname "$name"

mount -t proc proc "$root/proc"
mount --bind "$slot/boot_id" "$root/proc/sys/kernel/random/boot_id"
mount -t tmpfs -o mode=755 sys "$root/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mkdir "$root/run/sshd"
mount --bind "$disk/tmp" "$root/tmp"

# A /dev of its own: the machine's disks are none of the board's business.
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in null zero full random urandom tty; do
    : > "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"

first_boot() {
    mkdir -p "$root/etc/edgeproof-board" "$root/home/bench/.ssh"
    echo 'bench:*:61001:61001::/home/bench:/bin/sh' >> "$root/etc/passwd"
    echo 'bench:*:61001:' >> "$root/etc/group"
    cp "$slot/id.pub" "$root/home/bench/.ssh/authorized_keys"
    chown -R 61001:61001 "$root/home/bench"
    chmod 700 "$root/home/bench" "$root/home/bench/.ssh"
    cp "$slot/sshd_config" "$slot/host_key" "$root/etc/edgeproof-board"
    chmod 600 "$root/etc/edgeproof-board/host_key"
    if [ -e "$slot/python3" ]; then
        rm -f "$root"/usr/bin/python3* "$root"/usr/local/bin/python3* "$root"/usr/bin/python
        [ ! -s "$slot/python3" ] || install -m 755 "$slot/python3" "$root/usr/bin/python3"
    fi
    sync
    : > "$disk/booted"
    sync
}
[ -e "$disk/booted" ] || first_boot

# A shell as the first process, because it reaps the orphans of a board; sshd would not.
exec chroot "$root" /bin/sh -c '/usr/sbin/sshd -D -e -f /etc/edgeproof-board/sshd_config & wait'
