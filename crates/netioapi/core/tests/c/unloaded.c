/* A plugin with the static library in it is unloaded after its registration was cancelled. It stays in memory, because
   a thread of the library may still have to run its first or last instructions (N-06). The argument is the plugin. */
#include "host.h"

#include <dirent.h>
#include <dlfcn.h>

static uint32_t (*register_and_cancel)(void);

/* On a thread that ends: glibc keeps a plugin for the destructors of threads that have called it. */
static void *Round(void *unused)
{
	CHECK(register_and_cancel() == 0);
	return unused;
}

static unsigned threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned count = 0;
	CHECK(tasks != NULL);
	for (struct dirent *task; (task = readdir(tasks)) != NULL;)
		count += task->d_name[0] != '.';
	closedir(tasks);
	return count;
}

int main(int count, char **arguments)
{
	void *plugin, *address;
	pthread_t thread;

	begin();
	CHECK(count == 2);
	plugin = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
	if (plugin == NULL)
		fail(__FILE__, __LINE__, dlerror());
	address = dlsym(plugin, "register_and_cancel");
	CHECK(address != NULL);
	memcpy(&register_and_cancel, &address, sizeof address);
	CHECK(pthread_create(&thread, NULL, Round, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
	for (unsigned i = 0; threads() > 1; i++) {
		struct timespec nap = {0, 1000000};
		CHECK(i < SOON);
		nanosleep(&nap, NULL);
	}
	CHECK(dlclose(plugin) == 0);
	plugin = dlopen(arguments[1], RTLD_NOW | RTLD_NOLOAD);
	CHECK(plugin != NULL);
	return 0;
}
