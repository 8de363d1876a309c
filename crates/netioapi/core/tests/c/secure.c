/* Says which port the library believes in, whoever runs it (N-18). */
#include "host.h"

int main(void)
{
	USHORT port = 0;
	NETIO_STATUS status = GetTeredoPort(&port);
	begin();
	if (NETIO_SUCCESS(status))
		printf("port %u\n", (unsigned)port);
	else
		printf("%s\n", TeredoStatusMessage(status));
	return 0;
}
