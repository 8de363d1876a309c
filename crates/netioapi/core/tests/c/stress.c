/* A subscriber that may be stopped, continued and killed at any time, and checks all that it is told by both families
   of functions. In a phase the ports grow; a phase ends with one from 65000 on, and everybody has heard it before the
   next begins. A line on standard input asks for what is known, the end of it ends the program. */
#include "host.h"

#include <fwpmu.h>
#include <sys/prctl.h>

enum { FINAL = 65000, NOTHING = -1 };

struct listener {
	int told; /* the port told last; NOTHING: nothing yet */
	USHORT highest;
	unsigned count;
};

static struct listener changes = {NOTHING, 0, 0}, states = {NOTHING, 0, 0};

static void hear(struct listener *listener, USHORT port)
{
	if (listener->told == port) {
		fprintf(stderr, "told twice of %u\n", (unsigned)port);
		_exit(1);
	}
	if (port != 0) {
		if (port <= listener->highest) {
			fprintf(stderr, "told of %u after %u\n", (unsigned)port, (unsigned)listener->highest);
			_exit(1);
		}
		listener->highest = port >= FINAL ? 0 : port;
	}
	add(&listener->count);
	__atomic_store_n(&listener->told, (int)port, __ATOMIC_SEQ_CST);
}

static VOID NETIOAPI_API_ Changed(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	int before = changes.told;
	(void)context;
	/* N-11: the type is that of the step from what was told before. */
	if (before != NOTHING)
		CHECK(type == (before == 0 ? MibAddInstance : port == 0 ? MibDeleteInstance : MibParameterNotification));
	CHECK((type == MibDeleteInstance) == (port == 0));
	hear(&changes, port);
}

static void CALLBACK State(void *context, const FWPM_SYSTEM_PORTS0 *ports)
{
	(void)context;
	hear(&states, ports->types[0].numPorts == 0 ? 0 : ports->types[0].ports[0]);
}

int main(void)
{
	HANDLE first, second;
	char line[8];

	/* Not even a stopped one outlives the test. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	RETURNS(SUCCESS, NotifyTeredoPortChange(Changed, NULL, FALSE, &first));
	RETURNS(SUCCESS, FwpmSystemPortsSubscribe0(NULL, NULL, State, NULL, &second));
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL) {
		USHORT port = 0;
		(void)GetTeredoPort(&port);
		printf("%u %d %d %u\n", (unsigned)port, __atomic_load_n(&changes.told, __ATOMIC_SEQ_CST),
			__atomic_load_n(&states.told, __ATOMIC_SEQ_CST),
			__atomic_load_n(&changes.count, __ATOMIC_SEQ_CST)
				+ __atomic_load_n(&states.count, __ATOMIC_SEQ_CST));
		fflush(stdout);
	}
	RETURNS(SUCCESS, CancelMibChangeNotify2(first));
	RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, second));
	return 0;
}
