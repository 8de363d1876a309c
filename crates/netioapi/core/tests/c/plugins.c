/* Loads two shared objects that are linked to one library each: every one must reach its own. */
#include "host.h"

#include <dlfcn.h>

typedef uint32_t (*status)(void);

static status load(const char *path)
{
	void *plugin = dlopen(path, RTLD_NOW | RTLD_GLOBAL), *address;
	status function;
	if (plugin == NULL)
		fail(__FILE__, __LINE__, dlerror());
	address = dlsym(plugin, "status_of_null");
	CHECK(address != NULL);
	memcpy(&function, &address, sizeof address);
	return function;
}

int main(int count, char **arguments)
{
	begin();
	CHECK(count == 3);
	CHECK(load(arguments[1])() == 0xC000000D);
	CHECK(load(arguments[2])() == 87);
	return 0;
}
