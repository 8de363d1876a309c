/* The snapshot functions (N-19). */
#include "host.h"

#include <fwpmu.h>

static struct record record;

static USHORT PortOf(const FWPM_SYSTEM_PORTS0 *ports)
{
	CHECK(ports != NULL && ports->numTypes == 1 && ports->types != NULL);
	CHECK(ports->types[0].type == FWPM_SYSTEM_PORT_TEREDO);
	CHECK(ports->types[0].numPorts <= 1);
	return ports->types[0].numPorts == 0 ? 0 : ports->types[0].ports[0];
}

static void CALLBACK Changed(void *context, const FWPM_SYSTEM_PORTS0 *ports)
{
	note((struct record *)context, PortOf(ports), MibParameterNotification);
}

struct self {
	HANDLE handle;
	unsigned calls;
};

static void CALLBACK UnsubscribeItself(void *context, const FWPM_SYSTEM_PORTS0 *ports)
{
	struct self *self = (struct self *)context;
	(void)ports;
	RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, self->handle));
	add(&self->calls);
}

static void is(unsigned port)
{
	FWPM_SYSTEM_PORTS0 *ports = NULL;
	RETURNS(SUCCESS, FwpmSystemPortsGet0(NULL, &ports));
	CHECK(PortOf(ports) == port);
	FwpmFreeMemory0((void **)&ports);
	CHECK(ports == NULL);
	FwpmFreeMemory0((void **)&ports);
}

int main(void)
{
	static struct self self;
	HANDLE handle = NULL, refused = (HANDLE)&record, other = NULL, engine = NULL;

	begin();
	CHECK(FWPM_SYSTEM_PORT_TEREDO == 1 && FWPM_SYSTEM_PORT_TYPE_MAX == 4);
	CHECK(sizeof(FWPM_SYSTEM_PORTS0) == 2 * sizeof(void *));
	CHECK(sizeof(FWPM_SYSTEM_PORTS_BY_TYPE0) == 8 + sizeof(void *));

	RETURNS(INVALID_PARAMETER, FwpmSystemPortsGet0(NULL, NULL));
	RETURNS(INVALID_PARAMETER, FwpmSystemPortsSubscribe0(NULL, NULL, Changed, &record, NULL));
	RETURNS(INVALID_PARAMETER, FwpmSystemPortsSubscribe0(NULL, NULL, NULL, &record, &refused));
	CHECK(refused == NULL);
	refused = (HANDLE)&record;
	RETURNS(INVALID_PARAMETER, FwpmSystemPortsSubscribe0(NULL, &record, Changed, &record, &refused));
	CHECK(refused == NULL);
	FwpmFreeMemory0(NULL);

	/* A session, with which the functions work as without. */
	RETURNS(INVALID_PARAMETER, FwpmEngineOpen0(NULL, 10, NULL, NULL, NULL));
	RETURNS(INVALID_PARAMETER, FwpmEngineOpen0((const UINT16 *)&record, 10, NULL, NULL, &refused));
	CHECK(refused == NULL);
	RETURNS(SUCCESS, FwpmEngineOpen0(NULL, 10, NULL, NULL, &engine));
	CHECK(engine != NULL);

	/* No port is a state like any other. */
	is(0);
	RETURNS(SUCCESS, FwpmSystemPortsSubscribe0(engine, NULL, Changed, &record, &handle));
	RETURNS(SUCCESS, FwpmSystemPortsSubscribe0(NULL, NULL, UnsubscribeItself, &self, &self.handle));
	CHECK(handle != NULL);
	CHECK(!heard(&record, A_WHILE));
	publish(40000);
	EXPECT(&record, MibParameterNotification, 40000);
	is(40000);
	publish(40001);
	EXPECT(&record, MibParameterNotification, 40001);
	ask("stop");
	EXPECT(&record, MibParameterNotification, 0);
	is(0);
	ask("start");
	publish(40002);
	EXPECT(&record, MibParameterNotification, 40002);
	CHECK(self.calls == 1);

	/* Handles that are none, or of the other kind, end nothing. */
	RETURNS(SUCCESS, NotifyTeredoPortChange(Note, &record, TRUE, &other));
	EXPECT(&record, MibInitialNotification, 0);
	RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, NULL));
	RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, (HANDLE)&record));
	RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, other));
	RETURNS(INVALID_HANDLE, CancelMibChangeNotify2(handle));
	RETURNS(SUCCESS, CancelMibChangeNotify2(other));
	publish(40003);
	EXPECT(&record, MibParameterNotification, 40003);

	/* N-06 holds here too. */
	RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, handle));
	RETURNS(SUCCESS, FwpmSystemPortsUnsubscribe0(NULL, handle));
	publish(40004);
	CHECK(!heard(&record, A_WHILE));
	RETURNS(INVALID_PARAMETER, FwpmEngineClose0(NULL));
	RETURNS(INVALID_HANDLE, FwpmEngineClose0((HANDLE)&record));
	RETURNS(SUCCESS, FwpmEngineClose0(engine));
	RETURNS(INVALID_HANDLE, FwpmEngineClose0(engine));
	return 0;
}
