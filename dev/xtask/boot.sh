#!/bin/sh
# Boots the real systemd in namespaces, over an overlay of this machine's files that is thrown away. Nothing is changed
# outside, and it all ends with the first process.
#
#   boot.sh enter FOLDER SHOWN GROUP...   joins the control groups, makes the namespaces, and goes on with:
#   boot.sh init FOLDER SHOWN             mounts the machine on FOLDER, with SHOWN as its /srv, and becomes systemd
set -eu

stage=$1 folder=$2 shown=$3
if [ "$stage" = enter ]; then
	shift 3
	for group; do
		echo $$ >"$group/cgroup.procs"
	done
	exec unshare --mount --pid --fork --uts --ipc --net --cgroup --propagation private --kill-child \
		"$0" init "$folder" "$shown"
fi

version=1
[ ! -e /sys/fs/cgroup/cgroup.procs ] || version=2

mount -t tmpfs -o mode=755 tmpfs "$folder"
mkdir "$folder/changes" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/changes,workdir=$folder/work" overlay "$folder/root"
mount --bind "$shown" "$folder/root/srv"
cd "$folder/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
if [ $version = 2 ]; then
	mount -t cgroup2 cgroup2 sys/fs/cgroup
else
	mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
	mkdir sys/fs/cgroup/systemd
	mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
	for controller in pids memory cpu devices; do
		mkdir sys/fs/cgroup/$controller
		mount -t cgroup -o $controller cgroup sys/fs/cgroup/$controller || rmdir sys/fs/cgroup/$controller
	done
fi
# The services of this machine are not those of the test, and a container's rule against services is none for it.
rm -f etc/systemd/system/*.wants/* etc/systemd/system/default.target usr/sbin/policy-rc.d
pivot_root . mnt
umount -l /mnt
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
	/lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=no
