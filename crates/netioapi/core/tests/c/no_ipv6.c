/* A host without IPv6, as far as this process can tell: the sysctl disables it, or the kernel refuses such sockets.
   Needs root, for a network namespace of its own. */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <fwpmu.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define AT(field) ((unsigned)offsetof(struct seccomp_data, field))

static void refuse_ipv6(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT(nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT(args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	CHECK(socket(AF_INET6, SOCK_DGRAM, 0) == -1 && errno == EAFNOSUPPORT);
}

static void disable_ipv6(char value)
{
	int file = open("/proc/sys/net/ipv6/conf/all/disable_ipv6", O_WRONLY);
	CHECK(file >= 0 && write(file, &value, 1) == 1 && close(file) == 0);
}

int main(void)
{
	FWPM_SYSTEM_PORTS0 *ports = NULL;
	USHORT port = 7;

	begin();
	RETURNS(NOT_READY, GetTeredoPort(&port));
	CHECK(unshare(CLONE_NEWNET) == 0);
	disable_ipv6('1');
	RETURNS(NOT_SUPPORTED, GetTeredoPort(&port));
	disable_ipv6('0');
	RETURNS(NOT_READY, GetTeredoPort(&port));
	refuse_ipv6();
	RETURNS(NOT_SUPPORTED, GetTeredoPort(&port));
	CHECK(port == 7);
	RETURNS(SUCCESS, FwpmSystemPortsGet0(NULL, &ports));
	CHECK(ports->types[0].numPorts == 0);
	FwpmFreeMemory0((void **)&ports);
	return 0;
}
