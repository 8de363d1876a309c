/* Both libraries in one process, as plugins that know nothing of each other bring them; and a library that is
   closed while a callback is registered. Not linked to either. */
#include "host.h"

#include <dlfcn.h>

typedef uint32_t (*notify)(PTEREDO_PORT_CHANGE_CALLBACK, PVOID, BOOLEAN, HANDLE *);
typedef uint32_t (*cancel)(HANDLE);
typedef uint32_t (*get)(USHORT *);

static struct record first, second;

static void *symbol(void *library, const char *name)
{
	void *found = dlsym(library, name);
	CHECK(found != NULL);
	return found;
}

int main(void)
{
	void *netio, *iphlpapi;
	notify notify_driver, notify_program;
	cancel cancel_driver, cancel_program;
	get get_driver, get_program;
	HANDLE driver, program;
	void *address;

	begin();
	netio = dlopen("libteredo-netio.so.0", RTLD_NOW | RTLD_GLOBAL);
	iphlpapi = dlopen("libteredo-iphlpapi.so.0", RTLD_NOW | RTLD_GLOBAL);
	CHECK(netio != NULL && iphlpapi != NULL);
	/* POSIX has functions come as pointers to data, which C has not. */
	address = symbol(netio, "NotifyTeredoPortChange"), memcpy(&notify_driver, &address, sizeof address);
	address = symbol(iphlpapi, "NotifyTeredoPortChange"), memcpy(&notify_program, &address, sizeof address);
	address = symbol(netio, "CancelMibChangeNotify2"), memcpy(&cancel_driver, &address, sizeof address);
	address = symbol(iphlpapi, "CancelMibChangeNotify2"), memcpy(&cancel_program, &address, sizeof address);
	address = symbol(netio, "GetTeredoPort"), memcpy(&get_driver, &address, sizeof address);
	address = symbol(iphlpapi, "GetTeredoPort"), memcpy(&get_program, &address, sizeof address);

	CHECK(get_driver(NULL) == 0xC000000D);
	CHECK(get_program(NULL) == 87);
	CHECK(notify_driver(Note, &first, TRUE, &driver) == 0);
	CHECK(notify_program(Note, &second, TRUE, &program) == 0);
	EXPECT(&first, MibInitialNotification, 0);
	EXPECT(&second, MibInitialNotification, 0);

	/* The handles of one are none of the other's. */
	CHECK(cancel_driver(program) == 0xC0000008);
	CHECK(cancel_program(driver) == 6);

	/* A library that is closed stays, because its threads run in it. */
	CHECK(dlclose(netio) == 0 && dlclose(iphlpapi) == 0);
	publish(40000);
	EXPECT(&first, MibAddInstance, 40000);
	EXPECT(&second, MibAddInstance, 40000);
	CHECK(cancel_driver(driver) == 0);
	CHECK(cancel_program(program) == 0);
	return 0;
}
