/* What the kernel is to a driver: loads it, asks it where it stands with each line on standard input, unloads it. */
#include "windows_driver.c"

#include <stdio.h>

int main(void)
{
	static DEVICE_EXTENSION extension;
	const volatile DEVICE_EXTENSION *now = &extension;
	char line[16];

	printf("FollowPort: 0x%08x\n", (unsigned)FollowPort(&extension));
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) != NULL) {
		printf("%d, %u\n", now->Confirmed, now->Port);
		fflush(stdout);
	}
	UnfollowPort(&extension);
	printf("unloaded\n");
	return 0;
}
