/* Registers, is called, cancels and frees the context, many times on several threads, while the port changes all the
   time: to be run where a use of freed memory is noticed (N-06). The argument is the number of rounds. */
#include "host.h"

#include <fwpmu.h>

enum { THREADS = 4 };

struct context {
	USHORT last;
	unsigned calls;
	HANDLE handle;
};

static unsigned long rounds;

static VOID NETIOAPI_API_ Count(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	struct context *counter = (struct context *)context;
	CHECK(type != MibInitialNotification || counter->calls == 0);
	counter->last = port;
	counter->calls += 1;
}

static VOID NETIOAPI_API_ Once(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	struct context *counter = (struct context *)context;
	(void)port, (void)type;
	RETURNS(SUCCESS, CancelMibChangeNotify2(counter->handle));
	free(counter);
}

static void CALLBACK Snapshot(void *context, const FWPM_SYSTEM_PORTS0 *ports)
{
	struct context *counter = (struct context *)context;
	counter->last = ports->types[0].numPorts == 0 ? 0 : ports->types[0].ports[0];
	counter->calls += 1;
}

static struct context *create(void)
{
	struct context *context = (struct context *)calloc(1, sizeof *context);
	CHECK(context != NULL);
	return context;
}

static void *Work(void *unused)
{
	for (unsigned long round = 0; round < rounds / THREADS; round++) {
		struct context *context = create(), *once = create();
		FWPM_SYSTEM_PORTS0 *ports;
		USHORT port;
		switch (round % 4) {
		case 0:
		case 1:
			RETURNS(SUCCESS, NotifyTeredoPortChange(Count, context, round % 2 == 0, &context->handle));
			(void)GetTeredoPort(&port);
			RETURNS(SUCCESS, CancelMibChangeNotify2(context->handle));
			break;
		case 2:
			RETURNS(SUCCESS,
				FwpmSystemPortsSubscribe0(NULL, NULL, Snapshot, context, &context->handle));
			RETURNS(SUCCESS, FwpmSystemPortsGet0(NULL, &ports));
			FwpmFreeMemory0((void **)&ports);
			RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, context->handle));
			break;
		default:
			RETURNS(SUCCESS, NotifyTeredoPortChange(Once, once, TRUE, &once->handle));
			once = NULL;
			break;
		}
		free(once);
		free(context);
	}
	return unused;
}

int main(int count, char **arguments)
{
	pthread_t threads[THREADS];
	struct context *context = create();
	HANDLE handle;
	USHORT port = 0;

	CHECK(count == 2);
	rounds = strtoul(arguments[1], NULL, 10);
	/* Ends a program that hangs. */
	alarm((unsigned)(120 + rounds / 1000));
	ask("flood");
	RETURNS(SUCCESS, NotifyTeredoPortChange(Count, context, TRUE, &handle));
	for (unsigned i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, Work, NULL) == 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ask("calm");
	/* Whatever was left out, the last state was not (N-14). */
	for (unsigned i = 0; __atomic_load_n(&context->last, __ATOMIC_SEQ_CST) != 65535; i++) {
		struct timespec nap = {0, 1000000};
		CHECK(i < SOON);
		nanosleep(&nap, NULL);
	}
	RETURNS(SUCCESS, GetTeredoPort(&port));
	CHECK(port == 65535);
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));
	CHECK(context->calls > 1);
	free(context);
	return 0;
}
