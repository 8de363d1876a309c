/* What a program, its surroundings or the service can do wrong, and what comes of it: never a crash, never a hang.
 *
 *   NULL callback, handle pointer, port                 codes.c; for the snapshot functions ports.c
 *   wild, stale, doubly cancelled handles               handles.c: Wild, AtTheSameTime; codes.c; ports.c
 *   one handle cancelled by several threads at once     handles.c: AtTheSameTime; here: Crowd
 *   a callback that never returns                       here: Stuck
 *   a callback that calls every function                handles.c: Everything; here: Snapshots
 *   a fork in the middle                                forked.c
 *   100,000 registrations                               here: Crowd
 *   no service, one that goes and comes back            service.c, ports.c
 *   a service of a later version                        here: Later
 *   a service that speaks nonsense                      here: Nonsense
 *   a service that is silent or hangs up                service.c; here: Nonsense
 *   a socket that belongs to somebody else              here: Stranger
 */
#include "host.h"

#include <sys/resource.h>

#include <fwpmu.h>

static struct record record, ports;

static USHORT PortOf(const FWPM_SYSTEM_PORTS0 *state)
{
	return state->types[0].numPorts == 0 ? 0 : state->types[0].ports[0];
}

static void CALLBACK Changed(void *context, const FWPM_SYSTEM_PORTS0 *state)
{
	note((struct record *)context, PortOf(state), MibParameterNotification);
}

/* What both families say of the port. */
static void is(unsigned port)
{
	FWPM_SYSTEM_PORTS0 *state = NULL;
	USHORT now = 0;
	RETURNS(port == 0 ? NOT_READY : SUCCESS, GetTeredoPort(&now));
	CHECK(now == port);
	RETURNS(SUCCESS, FwpmSystemPortsGet0(NULL, &state));
	CHECK(PortOf(state) == port);
	FwpmFreeMemory0((void **)&state);
}

static HANDLE follows, subscribed;

static void Follow(void)
{
	memset(&record, 0, sizeof record);
	memset(&ports, 0, sizeof ports);
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &record, TRUE, &follows));
	RETURNS(SUCCESS, FwpmSystemPortsSubscribe0(NULL, NULL, Changed, &ports, &subscribed));
	EXPECT(&record, MibInitialNotification, 0);
}

static void Unfollow(void)
{
	RETURNS(SUCCESS, CancelMibChangeNotify2(follows));
	RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, subscribed));
	CHECK(!heard(&record, 0) && !heard(&ports, 0));
}

/* A service of a later version: kinds of changes, fields and an interface that nobody here knows. */
static void Later(void)
{
	ask("later");
	is(30001);
	Follow();
	ask("speak");
	EXPECT(&record, MibParameterNotification, 30002);
	EXPECT(&ports, MibParameterNotification, 30002);
	ask("speak");
	EXPECT(&record, MibDeleteInstance, 0);
	EXPECT(&ports, MibParameterNotification, 0);
	ask("speak");
	EXPECT(&record, MibAddInstance, 30003);
	EXPECT(&ports, MibParameterNotification, 30003);
	is(30003);
	Unfollow();
}

/* Answers that make no sense, at once and after a good beginning. Nothing of them is believed; what was believed
   before ends. */
static void Nonsense(unsigned kinds)
{
	struct timespec nap = {0, 300000000};
	char request[32];
	for (unsigned number = 0; number < kinds; number++) {
		struct rusage before, after;
		long spent;
		snprintf(request, sizeof request, "nonsense %u", number);
		ask(request);
		is(0);
		Follow();
		is(0);
		Unfollow();

		snprintf(request, sizeof request, "lapse %u", number);
		ask(request);
		Follow();
		is(30001);
		ask("speak");
		EXPECT(&record, MibDeleteInstance, 0);
		EXPECT(&ports, MibParameterNotification, 0);
		/* It greets, and then talks nonsense, again and again: no reason to keep a processor busy. */
		ask("gabble");
		getrusage(RUSAGE_SELF, &before);
		nanosleep(&nap, NULL);
		getrusage(RUSAGE_SELF, &after);
		spent = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec)
				* 1000000L
			+ after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec
			- before.ru_stime.tv_usec;
		CHECK(spent < 200000);
		RETURNS(SUCCESS, CancelMibChangeNotify2(follows));
		RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, subscribed));
	}
}

/* Somebody else's socket in a folder for everybody, and the service of a user with a folder of his own. */
static void Stranger(void)
{
	ask("stranger");
	is(0);
	Follow();
	is(0);
	CHECK(!heard(&record, A_WHILE));
	Unfollow();
	ask("tenant");
	is(30001);
	ask("start");
	is(0);
}

/* A callback that never returns: others are called, and it holds up neither a program's functions nor its end. */
static VOID NETIOAPI_API_ Forever(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	(void)port, (void)type;
	add((unsigned *)context);
	for (;;)
		pause();
}

static void *CancelForever(void *handle)
{
	CancelMibChangeNotify2((HANDLE)handle);
	CHECK(!"it never returns");
	return NULL;
}

static void Stuck(void)
{
	/* More than the library has threads at first. */
	enum { STUCK = 8 };
	static unsigned stuck;
	HANDLE handles[STUCK];
	pthread_t thread;
	publish(31000);
	for (unsigned i = 0; i < STUCK; i++)
		RETURNS(SUCCESS, NotifyTeredoPortChange(Forever, &stuck, TRUE, &handles[i]));
	reach(&stuck, STUCK);
	/* Cancelling waits for it, as is documented, and for that thread alone. */
	CHECK(pthread_create(&thread, NULL, CancelForever, handles[0]) == 0);
	CHECK(pthread_detach(thread) == 0);
	Follow();
	publish(31001);
	EXPECT(&record, MibParameterNotification, 31001);
	EXPECT(&ports, MibParameterNotification, 31001);
	is(31001);
	Unfollow();
}

/* A callback of the snapshot functions may call everything too. */
static void CALLBACK CallEverything(void *context, const FWPM_SYSTEM_PORTS0 *state)
{
	HANDLE handle = NULL;
	USHORT port = PortOf(state);
	is(port);
	RETURNS(SUCCESS, FwpmSystemPortsSubscribe0(NULL, NULL, Changed, context, &handle));
	RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, handle));
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, context, FALSE, &handle));
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));
	note((struct record *)context, port, MibParameterNotification);
}

static void Snapshots(void)
{
	HANDLE handle;
	memset(&ports, 0, sizeof ports);
	RETURNS(SUCCESS, FwpmSystemPortsSubscribe0(NULL, NULL, CallEverything, &ports, &handle));
	publish(32000);
	EXPECT(&ports, MibParameterNotification, 32000);
	RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, handle));
}

/* Registrations by the hundred thousand, all told, and cancelled by several threads that all try each. */
enum { CROWD = 100000, THREADS = 4 };

static HANDLE crowd[CROWD];
static unsigned told, ended;

static VOID NETIOAPI_API_ Count(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	(void)context;
	CHECK(port == 33000 && type == MibParameterNotification);
	add(&told);
}

static void *CancelAll(void *unused)
{
	for (unsigned i = 0; i < CROWD; i++) {
		NETIO_STATUS status = CancelMibChangeNotify2(crowd[i]);
		if (status == SUCCESS)
			add(&ended);
		else
			CHECK(status == INVALID_HANDLE);
	}
	return unused;
}

static void Crowd(void)
{
	pthread_t threads[THREADS];
	for (unsigned i = 0; i < CROWD; i++)
		RETURNS(SUCCESS, NotifyTeredoPortChange(Count, NULL, FALSE, &crowd[i]));
	publish(33000);
	reach(&told, CROWD);
	for (unsigned i = 0; i < THREADS; i++)
		CHECK(pthread_create(&threads[i], NULL, CancelAll, NULL) == 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK(ended == CROWD && told == CROWD);
}

int main(int count, char **arguments)
{
	/* It has much to do; SIGALRM ends it if it hangs. */
	alarm(600);
	CHECK(count == 2);
	Later();
	Nonsense((unsigned)atoi(arguments[1]));
	Stranger();
	publish(30000);
	Snapshots();
	Crowd();
	/* The last, because it lasts. */
	Stuck();
	return 0;
}
