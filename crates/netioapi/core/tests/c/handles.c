/* Handles: wild, stale, of another kind, cancelled by many at once, and cancelled in callbacks (N-06 to N-08). */
#include "host.h"

#include <fwpmu.h>

static struct record record;

/* N-06: a callback that is held up until it is let go. */
static pthread_mutex_t door = PTHREAD_MUTEX_INITIALIZER;
static unsigned inside, left;

static VOID NETIOAPI_API_ Held(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	(void)context, (void)port, (void)type;
	add(&inside);
	pthread_mutex_lock(&door);
	pthread_mutex_unlock(&door);
	add(&left);
}

static unsigned cancelled;

static void *Cancel(void *handle)
{
	RETURNS(SUCCESS, CancelMibChangeNotify2((HANDLE)handle));
	CHECK(__atomic_load_n(&left, __ATOMIC_SEQ_CST) == 1);
	add(&cancelled);
	return NULL;
}

static void CancelWaits(void)
{
	struct timespec nap = {0, 50000000};
	HANDLE handle;
	pthread_t thread;
	pthread_mutex_lock(&door);
	RETURNS(SUCCESS, NotifyTeredoPortChange(Held, NULL, TRUE, &handle));
	reach(&inside, 1);
	CHECK(pthread_create(&thread, NULL, Cancel, handle) == 0);
	nanosleep(&nap, NULL);
	CHECK(__atomic_load_n(&cancelled, __ATOMIC_SEQ_CST) == 0);
	pthread_mutex_unlock(&door);
	pthread_join(thread, NULL);
	publish(41000);
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &record, TRUE, &handle));
	EXPECT(&record, MibInitialNotification, 0);
	CHECK(inside == 1 && left == 1);
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));
}

/* N-07: the handle is there already when its callback runs for the first time. */
struct self {
	HANDLE handle;
	unsigned calls;
};

static VOID NETIOAPI_API_ CancelItself(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	struct self *self = (struct self *)context;
	(void)port, (void)type;
	RETURNS(SUCCESS, CancelMibChangeNotify2(self->handle));
	RETURNS(INVALID_HANDLE, CancelMibChangeNotify2(self->handle));
	add(&self->calls);
}

static void InItsOwnCallback(void)
{
	static struct self selves[100];
	for (unsigned i = 0; i < 100; i++)
		RETURNS(SUCCESS, NotifyTeredoPortChange(CancelItself, &selves[i], TRUE, &selves[i].handle));
	for (unsigned i = 0; i < 100; i++)
		reach(&selves[i].calls, 1);
	publish(42000);
	publish(42001);
	for (unsigned i = 0; i < 100; i++) {
		RETURNS(INVALID_HANDLE, CancelMibChangeNotify2(selves[i].handle));
		CHECK(selves[i].calls == 1);
	}
}

/* N-08: each of two callbacks cancels the other's handle while both run. */
static HANDLE pair[2];
static unsigned arrived, gone;

static VOID NETIOAPI_API_ CancelTheOther(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	(void)port;
	if (type == MibInitialNotification)
		return;
	add(&arrived);
	reach(&arrived, 2);
	RETURNS(SUCCESS, CancelMibChangeNotify2(pair[*(int *)context]));
	add(&gone);
}

static void EachOther(void)
{
	static int other[2] = {1, 0};
	for (unsigned round = 0; round < 20; round++) {
		arrived = gone = 0;
		RETURNS(SUCCESS, NotifyTeredoPortChange(CancelTheOther, &other[0], FALSE, &pair[0]));
		RETURNS(SUCCESS, NotifyTeredoPortChange(CancelTheOther, &other[1], FALSE, &pair[1]));
		publish(43000 + round);
		reach(&gone, 2);
	}
}

/* Many threads cancel the same handle: it works for one of them, and the callback has gone when that returns. */
static HANDLE shared;
static unsigned won;

static void *Race(void *unused)
{
	NETIO_STATUS status = CancelMibChangeNotify2(shared);
	if (status == SUCCESS)
		add(&won);
	else
		CHECK(status == INVALID_HANDLE);
	return unused;
}

static void AtTheSameTime(void)
{
	pthread_t threads[8];
	for (unsigned round = 1; round <= 50; round++) {
		record.count = record.read = 0;
		RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &record, TRUE, &shared));
		for (unsigned i = 0; i < 8; i++)
			CHECK(pthread_create(&threads[i], NULL, Race, NULL) == 0);
		for (unsigned i = 0; i < 8; i++)
			pthread_join(threads[i], NULL);
		CHECK(won == round);
	}
}

/* A callback may call everything. */
static unsigned inner;

static VOID NETIOAPI_API_ Inner(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	(void)context, (void)port, (void)type;
	add(&inner);
}

static VOID NETIOAPI_API_ CallEverything(PVOID context, USHORT port, MIB_NOTIFICATION_TYPE type)
{
	FWPM_SYSTEM_PORTS0 *ports = NULL;
	HANDLE handle = NULL;
	USHORT now = 0;
	unsigned before = __atomic_load_n(&inner, __ATOMIC_SEQ_CST);
	RETURNS(SUCCESS, GetTeredoPort(&now));
	CHECK(type == MibInitialNotification || now == port);
	CHECK(TeredoStatusMessage(SUCCESS) != NULL);
	RETURNS(SUCCESS, NotifyTeredoPortChange(Inner, NULL, TRUE, &handle));
	reach(&inner, before + 1);
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));
	RETURNS(SUCCESS, FwpmSystemPortsGet0(NULL, &ports));
	FwpmFreeMemory0((void **)&ports);
	note((struct record *)context, port, type);
}

static void Everything(void)
{
	HANDLE handle;
	record.count = record.read = 0;
	RETURNS(SUCCESS, NotifyTeredoPortChange(CallEverything, &record, TRUE, &handle));
	EXPECT(&record, MibInitialNotification, 0);
	publish(44000);
	EXPECT(&record, MibParameterNotification, 44000);
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));
}

/* No number that is no handle harms anybody. */
static void Wild(void)
{
	HANDLE handle;
	RETURNS(SUCCESS, NotifyTeredoPortChange(Inner, NULL, FALSE, &handle));
	for (uintptr_t number = 1; number < 4096; number++)
		if ((HANDLE)number != handle)
			RETURNS(INVALID_HANDLE, CancelMibChangeNotify2((HANDLE)number));
	for (unsigned bit = 12; bit < 8 * sizeof(HANDLE); bit++)
		RETURNS(INVALID_HANDLE, CancelMibChangeNotify2((HANDLE)((uintptr_t)1 << bit)));
	RETURNS(INVALID_HANDLE, CancelMibChangeNotify2((HANDLE)UINTPTR_MAX));
	RETURNS(INVALID_HANDLE, CancelMibChangeNotify2((HANDLE)stdout));
	/* That of the snapshot functions is one of another kind, and the other way round. */
	RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, handle));
	RETURNS(SUCCESS, CancelMibChangeNotify2(handle));
}

int main(void)
{
	begin();
	publish(40000);
	CancelWaits();
	InItsOwnCallback();
	EachOther();
	AtTheSameTime();
	Everything();
	Wild();
	return 0;
}
